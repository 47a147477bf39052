"""Five small widgets that show one idea each, with numbers that anyone can move. No model, no run.

    AdvantageLab()   rewards of a group -> mean, std, advantages under each scaling
    ClipLab()        the clipped objective over the ratio, for both signs of the advantage
    KLLab()          two distributions, their exact KL, and what k1, k2, k3 estimate
    LengthLab()      what each token weighs under the losses' length normalisations
    DrawFirst()      a sketch of how a curve will go, then the run, then both

Written as the last line of a cell each shows itself. All figures come from `workbench.objective`,
as in training.
"""

from workbench.widgets.teach.advantage_lab import AdvantageLab
from workbench.widgets.teach.clip_lab import ClipLab
from workbench.widgets.teach.draw_first import DrawFirst
from workbench.widgets.teach.kl_lab import KLLab
from workbench.widgets.teach.length_lab import LengthLab

__all__ = ["AdvantageLab", "ClipLab", "DrawFirst", "KLLab", "LengthLab"]
