/* A disk that fails at a chosen moment: preloaded into a process (LD_PRELOAD), it stands between the
   process and the C library's file operations, SQLite's and safetensors' included, and counts those
   that change something below one folder. At the n-th one it does what `disk_arm` was told.

   What SQLite does through mapped memory (its -shm file) is no call and is not counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, FAIL, FAIL_FROM_HERE, SHORT, KILL_BEFORE, KILL_AFTER, KILL_TORN };

static char below[PATH_MAX];
static int kind = COUNT, number, log_to = -1;
static long at, seen;
static volatile int armed;

/* Below `prefix`, at the `n`-th operation from here: fail with `error` (a number of errno.h) once, or
   from there on; write half of what was asked; be killed before, after, or in the middle. Each
   operation is written to the file handle `log`, which lies elsewhere. */
void disk_arm(const char *prefix, int what, int error, long n, int log) {
    strncpy(below, prefix, sizeof below - 1);
    kind = what; number = error; at = n; log_to = log; seen = 0; armed = 1;
}

long disk_seen(void) { return seen; }

static int concerns(const char *path) {
    size_t n = strlen(below);
    return armed && strncmp(path, below, n) == 0 && (path[n] == '/' || path[n] == 0 || path[n] == ' ');
}

static int place_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = 0;
    return n > 0;
}

static void whole_path(int at_fd, const char *path, char *whole) {
    char base[PATH_MAX];
    if (path[0] == '/') { snprintf(whole, PATH_MAX, "%s", path); return; }
    if (at_fd == AT_FDCWD) { if (!getcwd(base, sizeof base)) base[0] = 0; } else place_of(at_fd, base);
    snprintf(whole, PATH_MAX, "%.2000s/%.2000s", base, path);
}

/* What becomes of an operation: 0 it is done, 1 it fails, 2 it is done and the process dies, 3 half of
   it is done, 4 half of it is done and the process dies. */
static int fate(const char *name, const char *path, int takes_room) {
    if (!armed || !concerns(path)) return 0;
    seen++;
    int now = seen == at, later = seen > at;
    if (log_to >= 0) {
        char line[PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%ld %s %s %s\n", seen, name, path + strlen(below), now ? "*" : "");
        syscall(SYS_write, log_to, line, n);
    }
    int refuses = number != ENOSPC || takes_room;
    if (kind == COUNT) return 0;
    if (kind == FAIL_FROM_HERE && (now || later)) return refuses;
    if (!now) return 0;
    if (kind == FAIL) return refuses;
    if (kind == KILL_BEFORE) syscall(SYS_kill, getpid(), SIGKILL);
    if (kind == SHORT) return 3;
    if (kind == KILL_AFTER) return 2;
    return 4;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define DIE_IF(f) do { if ((f) == 2 || (f) == 4) syscall(SYS_kill, getpid(), SIGKILL); } while (0)
#define REFUSE(f) if ((f) == 1) { errno = number; return -1; }

#define ON_PATH(name, at_fd, path, room, call) \
    char whole[PATH_MAX]; REAL(name); \
    if (!armed) return call; \
    whole_path(at_fd, path, whole); \
    int f = fate(#name, whole, room); REFUSE(f) \
    int result = call; DIE_IF(f); return result;

#define ON_FILE(name, fd, call) \
    char whole[PATH_MAX]; REAL(name); \
    if (!armed) return call; \
    place_of(fd, whole); \
    int f = fate(#name, whole, 1); REFUSE(f) \
    int result = call; DIE_IF(f); return result;

#define ON_WRITE(name, fd, size, call) \
    char whole[PATH_MAX]; REAL(name); \
    if (!armed) return call; \
    place_of(fd, whole); \
    int f = fate(#name, whole, 1); REFUSE(f) \
    if (f >= 3 && size > 1) size /= 2; \
    ssize_t result = call; DIE_IF(f); return result;

#define ON_PATH_OPEN(name, at_fd) char whole[PATH_MAX]; whole_path(at_fd, path, whole); \
    int f = armed ? fate(#name, whole, (flags & O_CREAT) != 0) : 0; REFUSE(f)
#define OPENS(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    REAL(name); if (!armed || !(flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC))) return real(path, flags, mode); \
    ON_PATH_OPEN(name, AT_FDCWD) int result = real(path, flags, mode); DIE_IF(f); return result; }
#define OPENS_AT(name) int name(int at_fd, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    REAL(name); if (!armed || !(flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC))) return real(at_fd, path, flags, mode); \
    ON_PATH_OPEN(name, at_fd) int result = real(at_fd, path, flags, mode); DIE_IF(f); return result; }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

ssize_t write(int fd, const void *from, size_t size) { ON_WRITE(write, fd, size, real(fd, from, size)) }
ssize_t pwrite(int fd, const void *from, size_t size, off_t to) { ON_WRITE(pwrite, fd, size, real(fd, from, size, to)) }
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t to) { ON_WRITE(pwrite64, fd, size, real(fd, from, size, to)) }
ssize_t writev(int fd, const struct iovec *from, int size) { ON_WRITE(writev, fd, size, real(fd, from, size)) }
ssize_t sendfile(int fd, int in, off_t *from, size_t size) { ON_WRITE(sendfile, fd, size, real(fd, in, from, size)) }
ssize_t sendfile64(int fd, int in, off64_t *from, size_t size) { ON_WRITE(sendfile64, fd, size, real(fd, in, from, size)) }
ssize_t copy_file_range(int in, off64_t *from, int fd, off64_t *to, size_t size, unsigned flags) { ON_WRITE(copy_file_range, fd, size, real(in, from, fd, to, size, flags)) }

int fsync(int fd) { ON_FILE(fsync, fd, real(fd)) }
int fdatasync(int fd) { ON_FILE(fdatasync, fd, real(fd)) }
int ftruncate(int fd, off_t size) { ON_FILE(ftruncate, fd, real(fd, size)) }
int ftruncate64(int fd, off64_t size) { ON_FILE(ftruncate64, fd, real(fd, size)) }

int mkdir(const char *path, mode_t mode) { ON_PATH(mkdir, AT_FDCWD, path, 1, real(path, mode)) }
int mkdirat(int at_fd, const char *path, mode_t mode) { ON_PATH(mkdirat, at_fd, path, 1, real(at_fd, path, mode)) }
int rmdir(const char *path) { ON_PATH(rmdir, AT_FDCWD, path, 0, real(path)) }
int unlink(const char *path) { ON_PATH(unlink, AT_FDCWD, path, 0, real(path)) }
int unlinkat(int at_fd, const char *path, int flags) { ON_PATH(unlinkat, at_fd, path, 0, real(at_fd, path, flags)) }
int rename(const char *path, const char *to) { ON_PATH(rename, AT_FDCWD, path, 1, real(path, to)) }
int renameat(int at_fd, const char *path, int to_fd, const char *to) { ON_PATH(renameat, at_fd, path, 1, real(at_fd, path, to_fd, to)) }
