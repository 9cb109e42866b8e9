"""Attacks of other libraries in one form: a PyTorch module and images in, changed images out, at most 2000 passes each.

Single precision, as their users work. Where a library's own setting is broken it is repaired here:

- foolbox 3.3.4's L2 FMN projects onto the ball by the factor min(1, ‖x‖/‖x‖): here it is ε/‖δ‖;
- FMN from zero creeps up to the boundary from the inside and seldom ends in success: here it starts from DeepFool;
- adv-lib's DDN rounds the images to 256 levels unless told otherwise: here it does not.

A pass is one image once forward or once backward. Budgets are of 1000 steps of one pass each way, or fewer steps of
attacks that need more.
"""

import sys
from importlib import import_module
from unittest.mock import MagicMock

import foolbox.attacks as fb
import torch
from foolbox import Misclassification, PyTorchModel

for unneeded in ("torchvision", "visdom"):  # adv-lib imports them for perceptual distances and live plots
    sys.modules.setdefault(unneeded, MagicMock())

adv, apgd = import_module("adv_lib.attacks"), import_module("adv_lib.attacks.auto_pgd")
STEPS = 1000
WIDE = (-1.0, 2.0)  # in place of no range: no pixel of the shortest changes moves by more than 0.3


class Counted(torch.nn.Module):
    """A module in double precision, for images in single; it counts how many of them pass forward and backward.

    Logits are handed on less the largest of them, which changes no attack: so a class that leads by less than what
    single precision resolves leads here too, and a success is one in double precision.
    """

    def __init__(self, module):
        super().__init__()
        self.module, self.passes = module.double(), 0

    def forward(self, x):
        """Return logits."""
        self.passes += len(x)
        logits = self.module(x.double())
        logits = (logits - logits.detach().amax(1, keepdim=True)).float()
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, gradient):
        self.passes += len(gradient)


class RepairedFMN(fb.L2FMNAttack):
    """foolbox's FMN with the projection onto the ball that its paper has."""

    def project(self, x, x0, epsilon):
        """Return x, no farther than ε from x0."""
        change = x - x0
        size = change.flatten(1).norms.l2(axis=-1).maximum(1e-12)
        return x0 + change * (epsilon / size).minimum(1.0).reshape((-1,) + (1,) * (x.ndim - 1))


def fmn_from_deepfool(model, x, y):
    """adv-lib's FMN, started where DeepFool ends; images for which that fails stay as they are."""
    start, found = adv.df(model, x.clone(), y, steps=50), x.clone()
    with torch.no_grad():
        some = model(start).argmax(1) != y
    found[some] = adv.fmn(model, x[some], y[some], norm=2, steps=STEPS - 65, α_init=0.1, starting_points=start[some])
    return found


def of_foolbox(attack, model, x, y):
    """Return what an attack of foolbox finds within wide bounds, to which no change of this kind comes near."""
    return attack.run(PyTorchModel(model, bounds=(-4, 5), device="cpu"), x, Misclassification(y))


def shrunk(run, model, x, y):
    """Return what an attack of adv-lib, whose images lie in [0, 1], finds with pixels in WIDE: it sees them shrunk."""
    low, width = WIDE[0], WIDE[1] - WIDE[0]
    return low + width * run(lambda u: model(low + width * u), (x - low) / width, y)


def minimal_apgd(model, x, y, largest):
    """adv-lib's APGD, fourteen lengths by bisection from the ``largest``."""
    options = {"n_iter": 65, "binary_search_steps": 14, "loss_function": "ce", "use_rs": False}
    return apgd.minimal_apgd(model, x, y, norm=2, max_eps=largest, **options)


def carlini_wagner(model, x, y, **aim):
    """adv-lib's, five weights of 200 steps."""
    options = {"learning_rate": 0.1, "initial_const": 1.0, "binary_search_steps": 5, "abort_early": False}
    return adv.carlini_wagner_l2(model, x, y, max_iterations=STEPS // 5, **options, **aim)


# Within [0, 1], any class but y; the targeted ones take ``targeted=True`` and the target as y. Step sizes other than a
# library's own are the best of three to five on 40 other images, the last of the test set.
RANGED = {
    "DeepFool": lambda model, x, y: adv.df(model, x, y, steps=100),
    "SuperDeepFool": lambda model, x, y: adv.sdf(model, x, y, df_steps=10, overshoot=1e-3),
    "Carlini-Wagner": carlini_wagner,
    "DDN": lambda model, x, y, **aim: adv.ddn(model, x, y, steps=STEPS, levels=None, γ=0.02, **aim),
    "FMN": fmn_from_deepfool,
    "FAB": lambda model, x, y: adv.fab(model, x, y, norm=2, n_iter=70, targeted_restarts=True, η=1.01),
    "TR": lambda model, x, y: adv.tr(model, x, y, iter=660, eps=0.005),
    "APGD": lambda model, x, y: minimal_apgd(model, x, y, 2.0),
    "ALMA": lambda model, x, y, lr_init=0.01, **aim: adv.alma(model, x, y, num_steps=STEPS, lr_init=lr_init, **aim),
    "PDGD": lambda model, x, y, **aim: adv.pdgd(model, x, y, num_steps=STEPS, primal_lr=0.03, **aim),
}
TARGETED = {"Carlini-Wagner": {}, "DDN": {}, "ALMA": {"lr_init": 0.1}, "PDGD": {}}  # own options towards a target
DEEPFOOL = fb.L2DeepFoolAttack(steps=50)
FREE = {  # without a range: of foolbox
    "DeepFool": lambda model, x, y: of_foolbox(DEEPFOOL, model, x, y),
    "Carlini-Wagner": lambda model, x, y: of_foolbox(
        fb.L2CarliniWagnerAttack(steps=STEPS // 9, stepsize=0.002, initial_const=1.0), model, x, y
    ),
    "DDN": lambda model, x, y: of_foolbox(fb.DDNAttack(steps=STEPS), model, x, y),
    "FMN": lambda model, x, y: of_foolbox(
        RepairedFMN(steps=STEPS - 200, max_stepsize=0.1, init_attack=DEEPFOOL), model, x, y
    ),
}
SHRUNK = {  # without a range: of adv-lib, on shrunk images, with step sizes chosen for these in the same way
    "SuperDeepFool": RANGED["SuperDeepFool"],
    "FAB": RANGED["FAB"],
    "TR": lambda model, x, y: adv.tr(model, x, y, iter=660, eps=0.001),
    "APGD": lambda model, x, y: minimal_apgd(model, x, y, 0.7),
    "ALMA": lambda model, x, y: adv.alma(model, x, y, num_steps=STEPS, lr_init=0.003),
    "PDGD": lambda model, x, y: adv.pdgd(model, x, y, num_steps=STEPS, primal_lr=0.1),
}
