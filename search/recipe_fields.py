"""The fields of a recipe, how they go together, and which contradict each other."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from search.grown import Grown
from search.recipe_parts import (
    Affine,
    Alpha,
    Auto,
    ColorJitter,
    Degrees,
    Fraction,
    NotNegative,
    Part,
    Positive,
    Precision,
    Probability,
    RandAugment,
    Schedule,
    SmallImages,
)

POLICIES = ("auto_augment", "trivial_augment", "rand_augment")

# Fields that came after recipes had been written; see search.grown.
LATER = frozenset({
    "norm_bias_lr_factor", "logit_scale", "dirac_init", "train_norm_weight", "norm_momentum", "stochastic_depth",
    "lookahead", "trivial_augment", "rand_augment", "padding_mode", "random_erasing", "muon_lr", "rates_per",
    "small_images",
})  # fmt: skip


class RecipeFields(Part, Grown):
    """One way to train an image classifier. Every field says what it is; this is how they go together.

    'Airbench' is https://github.com/KellerJordan/cifar10-airbench, where several of the fields come from.

    Optimisers are torch's SGD, Adam, AdamW and Muon (https://kellerjordan.github.io/posts/muon/). The last trains the
    weights of convolutions, each as a matrix with a row for every output; SGD trains the vectors and the linear layer
    beside it. Its rate is to `muon_lr` (0.02 for its author's language models, 0.24 in airbench) what the rate of SGD
    is to `lr`. Its decay is apart from its rate: a step takes away as much of a weight as SGD's would, whose momentum
    goes on with it, rate * `weight_decay` / (1 - `momentum`).

    With `rates_per` = n, `lr` and `weight_decay` are what n images do to a weight, whatever the batch and the momentum,
    and neither depends on the other: airbench's own numbers can be written as they are with n = 1024. In its terms, a
    step of b images under Nesterov momentum m has the rate `lr` * b / (n * (1 + 1 / (1 - m))) for the mean loss, and
    the decay `weight_decay` / `lr`, as torch's SGD takes them.

    All schedules but 'plateau' move once per step, in shares of the whole training, so that a recipe keeps its shape at
    any number of epochs. After a linear rise from zero over `warmup`

    - 'linear' falls linearly; with a warm-up it is also called 'one-cycle' (https://arxiv.org/abs/1708.07120);
    - 'cosine' falls along half a cosine (https://arxiv.org/abs/1608.03983);
    - 'multi-step' multiplies by `factor` at each of the `milestones`;
    - 'constant' stays.

    Without a warm-up, 'cyclic' rises and falls linearly between `min_lr` and `lr`, `cycles` times
    (https://arxiv.org/abs/1506.01186), and 'plateau' is torch's ReduceLROnPlateau. 'plateau', `stop_patience` and
    `keep_best` keep the validation split out of the training data of final runs too. A trial's value is its last
    epoch's accuracy even so.

    With `logit_scale` the loss is that of logits times this number, 1/9 in airbench. In the end it goes into the last
    layer, so whoever uses the network has nothing to multiply.

    Airbench trains BatchNorm's biases with `norm_bias_lr_factor` 64, fixes its weights (`train_norm_weight` false), and
    has new batches weigh more in its statistics (`norm_momentum` 0.4, as torch takes it; it calls that 0.6).

    With `stochastic_depth` = p, block l of L drops its residual branch for an image with probability p * l / L while it
    trains (https://arxiv.org/abs/1603.09382); `dropout` belongs to the architecture.

    With `ema_window` the network that is measured, and kept in the end, is an exponential moving average of the trained
    weights and of BatchNorm's statistics (https://arxiv.org/abs/2411.18704): over n steps the decay is 1 - 1 / n a
    step.

    With `lookahead` = k (Zhang et al. 2019, https://arxiv.org/abs/1907.08610, in the form that airbench gave it) there
    is a slow average of the weights and of BatchNorm's statistics, which begins as the initial ones. After steps t = k,
    2k, ... of T it moves by 1 - 0.95^k (t / T)^3 of the way to them, and then they become the average. So at first it
    is what has just been trained, and towards the end it keeps 0.95^k of what it was. After the last step the weights
    become the average as it is by then. A training that ends early leaves out this last step.

    The augmentations happen in the order of the fields. Crops pad after normalisation, so zeros are the mean of the
    data, and rotations before it, interpolating 'nearest' as torchvision does. To 'reflect' mirrors an image about the
    centres of its outermost pixels (torchvision's name). If both `cutmix` and `mixup` are given, a batch is mixed by
    one of them at random.

    `auto_augment` (https://arxiv.org/abs/1805.09501), `trivial_augment` (https://arxiv.org/abs/2103.10158, 'wide'),
    `rand_augment` (https://arxiv.org/abs/1909.13719) and `random_erasing` (https://arxiv.org/abs/1708.04896, which
    fills with zeros here) are torchvision's, drawn for each image.

    With an 'alternating' `flip` every image is mirrored in every second epoch, and whether it begins so is drawn once
    per training: two epochs in a row show both sides of it (airbench).

    With `small_images` training begins with smaller images, which take less time (progressive resizing: Howard and
    Gugger, https://github.com/fastai/fastbook, chapter 7). They are made smaller once they are augmented, so the pixels
    of other fields are those of whole images. Where a network does not take their size, they have the next that it
    takes. Validation is always on whole images, and so is the last epoch.

    With `halve_batch`, a training that runs out of memory is tried once more with half of the batch and, in proportion,
    half of the learning rate.

    Where a value is 'auto', `Recipe.fit_to` sets it for the data; the precision alone is left to the device.
    """

    later: ClassVar[frozenset[str]] = LATER

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """What results call it; a copy needs another name."""
    epochs: Annotated[int, Field(ge=1, le=10_000, strict=True)]
    """How many times training goes through the images."""
    batch_size: Annotated[int, Field(ge=1, le=65_536, strict=True)] | Auto = 128
    """Images in a batch; auto: 128, on a GPU 512, fewer in a small set."""
    halve_batch: bool = False
    """Whether a training that runs out of memory is tried again with half of the batch and rate."""
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    """sgd, adam, adamw, or muon for convolutions beside sgd."""
    lr: Positive = 0.1
    """The learning rate at its peak; with batch_size auto and no rates_per, that of 128 images."""
    rates_per: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = 0
    """The images whose gradients lr and weight_decay are for, apart from momentum; 0: a batch, as in torch."""
    muon_lr: Positive = 0.05
    """Muon's learning rate where lr is at its peak; with batch_size auto, that of 128 images."""
    momentum: Fraction = 0.9
    """Of SGD and Muon."""
    nesterov: bool = True
    """Whether this momentum is Nesterov's."""
    weight_decay: NotNegative = 5e-4
    """As torch's optimisers take it: coupled to the gradient, but for adamw and muon."""
    decay_norm_and_bias: bool = False
    """Whether BatchNorm and biases decay too."""
    norm_bias_lr_factor: Positive = 1.0
    """How many times as high the rate of BatchNorm's biases is; their decay, if any, is as much lower."""
    schedule: Schedule = "one-cycle"
    """one-cycle, linear, cosine, multi-step, cyclic, plateau or constant."""
    warmup: Fraction = 0.2
    """The share of all steps in which the rate rises linearly from zero."""
    min_lr: NotNegative = 0.0
    """The learning rate that the schedule falls to."""
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Where multi-step multiplies the rate by factor, as rising shares of all steps."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What multi-step and plateau multiply the rate by."""
    cycles: Annotated[int, Field(ge=1, le=1_000)] = 1
    """How often cyclic rises and falls."""
    patience: Annotated[int, Field(ge=0, le=10_000)] = 5
    """Epochs without a better validation accuracy before plateau lowers the rate."""
    stop_patience: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Epochs without a better validation accuracy before training ends; null: never."""
    keep_best: bool = False
    """Whether the weights of the epoch with the best validation accuracy are kept."""
    label_smoothing: Fraction = 0.0
    """The share of a label that goes to all classes alike."""
    logit_scale: Positive = 1.0
    """What logits are multiplied by before the loss; the network that is kept gives them so multiplied."""
    zero_init_last_norm: bool = True
    """Whether the last BatchNorm of every block starts at zero, so that blocks begin as shortcuts."""
    dirac_init: bool = False
    """Whether convolutions begin with their input among their outputs, where those are no fewer."""
    train_norm_weight: bool = True
    """Whether BatchNorm's weights are trained; else they stay one, and still count as parameters."""
    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The share that each batch has in BatchNorm's running statistics."""
    stochastic_depth: Fraction = 0.0
    """How probable it is that an image passes the last block by its shortcut alone; earlier ones less; 0: off."""
    ema_window: Fraction = 0.0
    """The share of all steps that the measured average of the weights goes over; 0: no average."""
    lookahead: Annotated[int, Field(ge=0, le=10_000, strict=True)] = 0
    """After every so many steps the weights go back to a slow average of themselves; 0: never."""
    precision: Precision = "auto"
    """auto (the fastest here), fp32, bf16 or fp16."""
    mean: tuple[float, ...] | None = None
    """The mean of each channel, 0 to 1, for normalisation; null: that of the training images."""
    std: tuple[Positive, ...] | None = None
    """The standard deviation of each channel; null: that of the training images."""
    auto_augment: bool = False
    """Whether images are changed by the AutoAugment policy found on CIFAR-10."""
    trivial_augment: bool = False
    """Whether each image is changed by one operation of TrivialAugment, at a random strength."""
    rand_augment: RandAugment | None = None
    """How many operations of RandAugment change each image, at which magnitude (0 to 30); null: none."""
    rotation: Degrees = 0.0
    """The largest angle of random rotations, in degrees."""
    affine: Affine | None = None
    """Random affine maps, of degrees, translate, scale and shear; null: none."""
    color_jitter: ColorJitter | None = None
    """Random changes of brightness, contrast, saturation and hue; null: none."""
    crop_padding: Annotated[int, Field(ge=0, le=64)] | Auto = 0
    """Pixels that random crops pad by on each side; auto: an eighth of the image."""
    padding_mode: Literal["zeros", "reflect"] = "zeros"
    """What random crops pad with: zeros, or the image in a mirror (reflect)."""
    flip: bool | Literal["auto", "alternating"] = False
    """Whether images are mirrored at random; alternating: in every second epoch; auto: so, but for characters."""
    cutout: Annotated[int, Field(ge=0, le=512)] | Auto = 0
    """The side of a square that is hidden at random, in pixels; auto: a quarter of the image."""
    random_erasing: Probability = 0.0
    """How probable it is that a random rectangle of an image is hidden."""
    small_images: SmallImages | None = None
    """The first share of the epochs in which images are smaller, and the share of their side then; null: none."""
    cutmix: Alpha = 0.0
    """Alpha of CutMix, which pastes a box of another image; 0: off."""
    mixup: Alpha = 0.0
    """Alpha of MixUp, which blends two images; 0: off."""
    mix_probability: Probability = 1.0
    """The share of batches that are mixed by cutmix or mixup."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "RecipeFields":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std: give both or neither")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise ValueError(f"mean and std: {len(self.mean)} and {len(self.std)} values; one each per channel")
        if self.optimizer in ("sgd", "muon") and self.nesterov and self.momentum == 0:
            raise ValueError("nesterov = true: needs momentum above 0")
        if self.rates_per and not (self.optimizer in ("sgd", "muon") and self.nesterov):
            raise ValueError(f"rates_per = {self.rates_per}: needs optimizer = sgd or muon, and nesterov = true")
        if self.optimizer != "muon" and self.muon_lr != type(self).model_fields["muon_lr"].default:
            raise ValueError(f"muon_lr = {self.muon_lr:g}: needs optimizer = muon")
        if not self.train_norm_weight and self.zero_init_last_norm:
            raise ValueError("train_norm_weight = false: needs zero_init_last_norm = false, since zeros would stay")
        if self.lookahead and self.ema_window:
            raise ValueError(f"lookahead = {self.lookahead}: needs ema_window = 0, since both average the weights")
        if self.padding_mode == "reflect" and self.crop_padding == 0:
            raise ValueError("padding_mode = reflect: needs crop_padding above 0")
        policies = [name for name in POLICIES if getattr(self, name)]
        if len(policies) > 1:
            raise ValueError(f"{policies[1]}: needs a recipe without {policies[0]}")
        if self.min_lr >= self.lr:
            raise ValueError(f"min_lr = {self.min_lr:g}: must be below lr = {self.lr:g}")
        if self.schedule in ("cyclic", "plateau") and self.warmup > 0:
            raise ValueError(f"warmup = {self.warmup:g}: must be 0 for the {self.schedule} schedule")
        rising = tuple(sorted(set(self.milestones)))
        if self.schedule == "multi-step" and (not rising or rising != self.milestones):
            raise ValueError("milestones: the multi-step schedule needs them, as rising fractions of the training")
        if (self.cutmix or self.mixup) and self.batch_size == 1:
            name = "cutmix" if self.cutmix else "mixup"
            raise ValueError(f"{name} = {getattr(self, name):g}: needs a batch_size of 2 or more, to mix images of")
        return self
