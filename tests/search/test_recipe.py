"""Training recipes as values."""

from hashlib import sha256
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from search.errors import RecipeError
from search.recipe import Recipe, with_batch_size, with_epochs
from search.recipe_fields import LATER
from search.recipe_parts import Affine, ColorJitter, RandAugment, SmallImages
from search.recipes import FAST, FULL, RECIPES, to_yaml
from search.study.way import recipe_digest
from search.yamlfile import read_model


def read(text: str) -> Recipe:
    return read_model(text, "mine.yaml", Recipe, RecipeError)


def refusal(**values: Any) -> str:
    """What is said about a file with these values, without the file's name."""
    with pytest.raises(RecipeError) as caught:
        read(yaml.safe_dump({"name": "mine", "epochs": 3} | values))
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix("mine.yaml: ")


# Reading and writing.


def test_a_recipe_is_read_from_yaml() -> None:
    expected = Recipe(name="mine", epochs=5, lr=0.05, schedule="cosine", mean=(0.5,), std=(0.25,), flip="auto")
    assert read("name: mine\nepochs: 5\nlr: 0.05\nschedule: cosine\nmean: [0.5]\nstd: [0.25]\nflip: auto") == expected


def test_parts_of_a_recipe_are_nested_keys() -> None:
    text = "name: mine\nepochs: 5\ncolor_jitter: {brightness: 0.2, hue: 0.1}\naffine: {degrees: 10, scale: [0.9, 1.1]}"
    jitter, affine = ColorJitter(brightness=0.2, hue=0.1), Affine(degrees=10, scale=(0.9, 1.1))
    assert read(text) == Recipe(name="mine", epochs=5, color_jitter=jitter, affine=affine)


@pytest.mark.parametrize("recipe", [*RECIPES.values(), FULL.fit_to("cifar10", 45_000, 32, 3)], ids=lambda r: r.name)
def test_a_recipe_written_as_yaml_is_read_as_the_same(recipe: Recipe) -> None:
    copy = read(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert copy == recipe and hash(copy) == hash(recipe)


def test_a_recipe_and_its_parts_cannot_be_changed() -> None:
    jitter = ColorJitter(hue=0.1)
    with pytest.raises(ValidationError, match="frozen"):
        FAST.epochs = 9  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        jitter.hue = 0.2  # type: ignore[misc]
    assert len({hash(recipe) for recipe in RECIPES.values()}) == len(RECIPES)
    assert hash(FAST.model_copy(update={"color_jitter": jitter})) != hash(FAST)


# `fast` and `full` as they were before any field of LATER.
EARLIER_FAST = Recipe(
    name="fast", epochs=8, batch_size="auto", lr=0.8, ema_window=0.09, crop_padding="auto", flip="auto",
    label_smoothing=0.1,
)  # fmt: skip
EARLIER_FULL = EARLIER_FAST.model_copy(update={"name": "full", "epochs": 60, "ema_window": 0.0, "cutout": "auto"})
EARLIER = {**RECIPES, "fast": EARLIER_FAST, "full": EARLIER_FULL}

# Digests of the recipes as they were then, by which results, plans and checkpoints know them.
DIGESTS = {
    "fast": "d79d20ef426c",
    "full": "bb3a986b4167",
    "report0": "b77692c2fb14",
    "report1": "bb005996984c",
    "report2-adam": "97f89b8cd172",
    "report2-adamw": "befcc617f304",
    "report2-cyclic": "bc9a1e2c9daa",
    "as1": "0beac088193d",
    "as1-linear": "39a23c0b60bb",
    "as2": "b9f4fc6381da",
    "ft": "ee99b857490f",
    "report4": "9b6cdf55780f",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_later_field_at_its_default_does_not_change_how_a_recipe_is_known(name: str) -> None:
    assert recipe_digest(EARLIER[name].model_dump(mode="json")) == DIGESTS[name]
    spelled_out = read(to_yaml(EARLIER[name]))
    assert recipe_digest(spelled_out.model_dump(mode="json")) == DIGESTS[name]


def test_a_checkpoint_knows_a_recipe_as_before_its_later_fields() -> None:
    text = EARLIER_FULL.model_copy(update={"flip": True}).fit_to("cifar10", 45_000, 32, 3).model_dump_json()
    assert sha256(text.encode()).hexdigest()[:12] == "b0fb2a4fb2b8"


# Every field of LATER, and a value that is not its default.
LATER_VALUES: dict[str, Any] = {
    "norm_bias_lr_factor": 64.0,
    "logit_scale": 0.125,
    "dirac_init": True,
    "train_norm_weight": False,
    "norm_momentum": 0.4,
    "stochastic_depth": 0.2,
    "lookahead": 5,
    "trivial_augment": True,
    "rand_augment": {"operations": 1, "magnitude": 5},
    "padding_mode": "reflect",
    "random_erasing": 0.25,
    "muon_lr": 0.1,
    "rates_per": 1024,
    "small_images": {"epochs": 0.25, "size": 0.75},
}


def test_later_fields_are_those_that_are_known() -> None:
    assert set(LATER_VALUES) == LATER <= set(Recipe.model_fields)


@pytest.mark.parametrize("name", LATER_VALUES)
def test_a_later_field_with_another_value_is_written_and_makes_another_recipe(name: str) -> None:
    needed = {"optimizer": "muon", "crop_padding": 4, "zero_init_last_norm": False, "ema_window": 0.0}
    plain = Recipe.model_validate(EARLIER_FULL.model_dump() | needed)
    changed = Recipe.model_validate(plain.model_dump() | {name: LATER_VALUES[name]})
    values = changed.model_dump(mode="json")
    assert values == plain.model_dump(mode="json") | {name: LATER_VALUES[name]}
    assert Recipe.model_validate(values) == changed == read(to_yaml(changed)) != plain
    assert recipe_digest(values) != recipe_digest(plain.model_dump(mode="json"))
    assert with_epochs(changed, 5) == changed.model_copy(update={"epochs": 5})


# Bad values.


def test_an_unknown_or_missing_key_is_named() -> None:
    assert refusal(learning_rate=0.1) == "learning_rate: unknown key"
    assert refusal(color_jitter={"brightnes": 0.2}) == "color_jitter.brightnes: unknown key"
    assert refusal(affine={"degrees": 10, "rotate": 5}) == "affine.rotate: unknown key"
    with pytest.raises(RecipeError, match=r"^mine.yaml: name: missing \(and 1 more\)$"):
        read("lr: 0.1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("epochs", 10_001),
        ("epochs", 2.5),
        ("batch_size", 0),
        ("batch_size", "large"),
        ("optimizer", "rmsprop"),
        ("lr", 0),
        ("lr", -0.1),
        ("lr", 1e7),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("muon_lr", 0),
        ("rates_per", -1),
        ("rates_per", 10.5),
        ("momentum", 1),
        ("weight_decay", -1e-4),
        ("weight_decay", float("inf")),
        ("schedule", "step"),
        ("warmup", 1.0),
        ("min_lr", -0.1),
        ("factor", 0),
        ("factor", 1),
        ("cycles", 0),
        ("patience", -1),
        ("stop_patience", 0),
        ("keep_best", "perhaps"),
        ("label_smoothing", 1),
        ("precision", "fp8"),
        ("rotation", 181),
        ("crop_padding", 65),
        ("norm_bias_lr_factor", 0),
        ("logit_scale", 0),
        ("dirac_init", "perhaps"),
        ("trivial_augment", "wide"),
        ("rand_augment", True),
        ("random_erasing", 1.1),
        ("small_images", 0.5),
        ("stochastic_depth", 1),
        ("stochastic_depth", -0.1),
        ("lookahead", -1),
        ("lookahead", 2.5),
        ("train_norm_weight", "perhaps"),
        ("norm_momentum", 0),
        ("norm_momentum", 1.1),
        ("padding_mode", "mirror"),
        ("cutout", -1),
        ("cutmix", -0.5),
        ("mixup", float("inf")),
        ("mix_probability", 1.1),
        ("flip", "maybe"),
        ("zero_init_last_norm", "perhaps"),
        ("affine", 10),
        ("color_jitter", [0.2, 0.2]),
        ("name", 3),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(key: str, value: Any) -> None:
    assert refusal(**{key: value}).startswith(f"{key} = {value!r}: input should be ")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("color_jitter", "brightness", -0.1),
        ("color_jitter", "hue", 0.6),
        ("rand_augment", "operations", 0),
        ("rand_augment", "magnitude", 31),
        ("small_images", "epochs", 0),
        ("small_images", "epochs", 1),
        ("small_images", "size", 0.2),
        ("small_images", "size", 1),
        ("rand_augment", "magnitude", 1.5),
        ("affine", "degrees", 200),
        ("affine", "translate", 1.5),
        ("affine", "shear", 90),
    ],
)
def test_a_wrong_nested_value_is_named_by_its_path(part: str, key: str, value: float) -> None:
    assert refusal(**{part: {key: value}}).startswith(f"{part}.{key} = {value}: input should be ")


def test_a_value_that_may_also_be_auto_is_said_to_be_so_and_counted_once() -> None:
    expected = "batch_size = 0: input should be greater than or equal to 1, or input should be 'auto'"
    assert refusal(batch_size=0) == expected
    assert refusal(batch_size=0, cutout=-1) == f"{expected} (and 2 more)"


MILESTONES = "milestones: the multi-step schedule needs them, as rising fractions of the training"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mean": [0.5]}, "mean and std: give both or neither"),
        ({"std": [0.5]}, "mean and std: give both or neither"),
        ({"mean": [0.5] * 3, "std": [0.5] * 2}, "mean and std: 3 and 2 values; one each per channel"),
        ({"momentum": 0}, "nesterov = true: needs momentum above 0"),
        ({"momentum": 0, "optimizer": "muon"}, "nesterov = true: needs momentum above 0"),
        ({"muon_lr": 0.1}, "muon_lr = 0.1: needs optimizer = muon"),
        ({"muon_lr": 0.1, "optimizer": "adamw"}, "muon_lr = 0.1: needs optimizer = muon"),
        (
            {"rates_per": 1024, "optimizer": "adamw"},
            "rates_per = 1024: needs optimizer = sgd or muon, and nesterov = true",
        ),
        (
            {"rates_per": 1024, "nesterov": False},
            "rates_per = 1024: needs optimizer = sgd or muon, and nesterov = true",
        ),
        ({"lr": 0.1, "min_lr": 0.1}, "min_lr = 0.1: must be below lr = 0.1"),
        ({"lr": 1e-3, "min_lr": 0.01}, "min_lr = 0.01: must be below lr = 0.001"),
        ({"schedule": "cyclic"}, "warmup = 0.2: must be 0 for the cyclic schedule"),
        ({"schedule": "plateau", "warmup": 0.05}, "warmup = 0.05: must be 0 for the plateau schedule"),
        ({"schedule": "multi-step"}, MILESTONES),
        ({"schedule": "multi-step", "milestones": [0.75, 0.5]}, MILESTONES),
        (
            {"train_norm_weight": False},
            "train_norm_weight = false: needs zero_init_last_norm = false, since zeros would stay",
        ),
        (
            {"lookahead": 5, "ema_window": 0.1},
            "lookahead = 5: needs ema_window = 0, since both average the weights",
        ),
        ({"auto_augment": True, "trivial_augment": True}, "trivial_augment: needs a recipe without auto_augment"),
        ({"rand_augment": {}, "trivial_augment": True}, "rand_augment: needs a recipe without trivial_augment"),
        ({"padding_mode": "reflect"}, "padding_mode = reflect: needs crop_padding above 0"),
        ({"batch_size": 1, "cutmix": 1}, "cutmix = 1: needs a batch_size of 2 or more, to mix images of"),
        ({"batch_size": 1, "mixup": 0.2}, "mixup = 0.2: needs a batch_size of 2 or more, to mix images of"),
    ],
)
def test_values_must_agree_with_each_other(values: dict[str, Any], message: str) -> None:
    assert refusal(**values) == message


@pytest.mark.parametrize(
    "values",
    [
        {"momentum": 0, "nesterov": False},
        {"momentum": 0, "optimizer": "adam"},
        {"lr": 0.1, "min_lr": 0.099},
        {"schedule": "cyclic", "warmup": 0},
        {"schedule": "plateau", "warmup": 0},
        {"schedule": "multi-step", "milestones": (0.5, 0.75)},
        {"train_norm_weight": False, "zero_init_last_norm": False},
        {"padding_mode": "reflect", "crop_padding": "auto"},
        {"batch_size": 1},
        {"batch_size": 2, "cutmix": 1, "mixup": 0.2},
        {"batch_size": "auto", "cutmix": 1},
    ],
)
def test_values_that_agree_are_taken_as_they_are(values: dict[str, Any]) -> None:
    recipe = Recipe.model_validate({"name": "mine", "epochs": 1} | values)
    assert {key: getattr(recipe, key) for key in values} == values


def test_an_affine_scale_is_a_range() -> None:
    rule = "scale = [1.1, 0.9]: must be the smallest and the largest factor"
    assert refusal(affine={"scale": [1.1, 0.9]}) == f"affine = {{'scale': [1.1, 0.9]}}: {rule}"
    assert refusal(affine={"scale": [0, 1]}).startswith("affine.scale.0 = 0: input should be greater than 0")
    assert Affine(scale=(0.9, 0.9)).scale == (0.9, 0.9)


# Fitting to data.


@pytest.mark.parametrize(
    ("num_train", "batch_size"),
    [(16, 16), (100, 16), (1_000, 16), (1_024, 32), (1_437, 32), (2_048, 64), (4_095, 64), (4_096, 128), (50_000, 128)],
)
def test_a_batch_leaves_32_steps_an_epoch_where_it_can(num_train: int, batch_size: int) -> None:
    fitted = FAST.fit_to("cifar10", num_train, 32, 3)
    assert fitted.lr == pytest.approx(FAST.lr * fitted.sizes[0] / 128)
    assert fitted.batch_size == batch_size
    assert batch_size == 16 or num_train // batch_size >= 32


@pytest.mark.parametrize(
    ("num_train", "batch_size", "share"),
    [(4_096, 128, 1.0), (8_192, 256, 2**0.5), (16_384, 512, 2.0), (10**6, 512, 2.0)],
)
def test_a_gpu_has_larger_batches_whose_rate_goes_with_their_square_root(
    num_train: int, batch_size: int, share: float
) -> None:
    fitted = FAST.fit_to("cifar10", num_train, 32, 3, on_gpu=True)
    assert (fitted.batch_size, fitted.lr) == (batch_size, pytest.approx(FAST.lr * share))
    small = FAST.fit_to("cifar10", 1_000, 32, 3)
    assert FAST.fit_to("cifar10", 1_000, 32, 3, on_gpu=True) == small


@pytest.mark.parametrize(("image_size", "padding", "cutout"), [(8, 1, 2), (28, 3, 7), (32, 4, 8), (64, 8, 16)])
def test_augmentation_is_sized_by_the_image(image_size: int, padding: int, cutout: int) -> None:
    fitted = EARLIER_FULL.fit_to("cifar10", 50_000, image_size, 3)
    assert (fitted.crop_padding, fitted.cutout) == (padding, cutout)
    assert fitted.sizes == (128, padding, cutout)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ("mean: [125.3, 123, 113.9]\nstd: [63, 62.1, 66.7]", "mean and std: must be those of pixels from 0 to 1, not"),
        ("mean: [-0.1, 0, 0]\nstd: [0.5, 0.5, 0.5]", "mean and std: must be those of pixels from 0 to 1, not"),
        ("milestones: [0.5, 0.75]", "milestones: schedule = one-cycle takes none; multi-step does"),
        (
            "schedule: multi-step\nmilestones: [0.1, 0.5]",
            "milestones: the first, 0.1, lies within the warmup of 0.2; give a shorter one",
        ),
    ],
)
def test_values_that_would_train_otherwise_than_they_say_are_refused_but_still_read(values: str, rule: str) -> None:
    """An older study that was trained by them is still to be reported."""
    recipe = read(f"name: mine\nepochs: 5\n{values}")
    with pytest.raises(RecipeError) as caught:
        recipe.fit_to("cifar10", 1_000, 32, 3)
    assert str(caught.value).startswith(rule)


@pytest.mark.parametrize(
    "data", ["digits", "svhn", "mnist", "MNIST", "emnist", "cropped_digits", "svhn-extra"]
)  # by a word
def test_characters_are_not_mirrored(data: str) -> None:
    assert FAST.fit_to(data, 1_000, 32, 1).flip is False


@pytest.mark.parametrize(
    "data", ["cifar10", "fashion-mnist", "FashionMNIST", "pathmnist", "organ-medmnist", "digitalis", "/data/birds"]
)
def test_other_images_are_mirrored_in_every_second_epoch(data: str) -> None:
    assert FAST.fit_to(data, 1_000, 32, 3).flip == "alternating"


@pytest.mark.parametrize("data", ["digits", "cifar10"])
def test_an_alternating_flip_stays_one_whatever_the_images(data: str) -> None:
    assert read("name: mine\nepochs: 5\nflip: alternating").fit_to(data, 1_000, 32, 3).flip == "alternating"


def test_fitting_leaves_what_was_said_as_it_is() -> None:
    said = Recipe(name="said", epochs=3, batch_size=7, crop_padding=5, cutout=3, flip=True)
    assert said.fit_to("digits", 1_000, 8, 1) == said
    fitted = EARLIER_FULL.fit_to("cifar10", 45_000, 32, 3)
    changed = {key for key, value in fitted.model_dump().items() if value != getattr(EARLIER_FULL, key)}
    assert changed == {"batch_size", "crop_padding", "cutout", "flip"}
    assert fitted.precision == "auto"  # the device decides
    assert fitted.fit_to("digits", 200, 16, 1) == fitted


def test_a_fitted_recipe_is_a_valid_one() -> None:
    for size in (1, 7, 8, 32, 224):
        for recipe in (FULL, EARLIER_FULL):
            fitted = recipe.fit_to("digits", 100, size, 1)
            assert Recipe.model_validate(fitted.model_dump()) == fitted
            assert fitted.padding_mode == (recipe.padding_mode if size >= 8 else "zeros")


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_named_recipe_fits_cifar10(name: str) -> None:
    fitted = RECIPES[name].fit_to("cifar10", 50_000, 32, 3)
    assert fitted.fit_to("cifar10", 50_000, 32, 3) == fitted


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 2_000}, "batch_size = 2000: larger than the 1,151 training images"),
        ({"crop_padding": 8, "padding_mode": "reflect"}, "crop_padding = 8: must be smaller than an image of 8 pixels"),
        ({"crop_padding": 8}, "crop_padding = 8: must be smaller than an image of 8 pixels"),
        (
            {"small_images": SmallImages(size=0.95), "epochs": 2},
            "small_images.size = 0.95: leaves an image of 8 pixels as it is",
        ),
        ({"lookahead": 9}, "lookahead = 9: larger than the training, which has 8 steps"),
        ({"cutout": 9}, "cutout = 9: must be smaller than an image of 8 pixels"),
        ({"auto_augment": True}, "auto_augment: needs images of 3 channels; those of digits have 1"),
        ({"trivial_augment": True}, "trivial_augment: needs images of 3 channels; those of digits have 1"),
        ({"rand_augment": RandAugment()}, "rand_augment: needs images of 3 channels; those of digits have 1"),
        ({"color_jitter": {"hue": 0.1}}, "color_jitter: needs images of 3 channels; those of digits have 1"),
        (
            {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)},
            "mean = (0.5, 0.4, 0.3): digits has 1 channel; null in recipe mine is the images' own",
        ),
    ],
)
def test_a_recipe_that_the_images_cannot_have_is_refused(values: dict[str, Any], message: str) -> None:
    recipe = Recipe.model_validate({"name": "mine", "epochs": 1} | values)
    with pytest.raises(RecipeError) as caught:
        recipe.fit_to("digits", 1_151, 8, 1)
    assert str(caught.value) == message
    assert recipe.fit_to("cifar10", 50_000, 32, 3) == recipe


@pytest.mark.parametrize(("share", "epochs", "said"), [(0.5, 1, "1 epoch"), (0.1, 2, "2 epochs")])
def test_smaller_images_for_less_than_an_epoch_are_refused(share: float, epochs: int, said: str) -> None:
    recipe = Recipe(name="mine", epochs=epochs, small_images=SmallImages(epochs=share))
    with pytest.raises(RecipeError) as caught:
        recipe.fit_to("cifar10", 50_000, 32, 3)
    assert str(caught.value) == f"small_images.epochs = {share}: is none of {said}"


def test_constants_of_one_channel_are_refused_for_colour_images() -> None:
    grey = Recipe(name="grey", epochs=1, mean=(0.5,), std=(0.2,))
    assert grey.fit_to("digits", 1_000, 8, 1) == grey
    with pytest.raises(
        RecipeError, match=r"^mean = \(0.5,\): cifar10 has 3 channels; null in recipe grey is the images' own$"
    ):
        grey.fit_to("cifar10", 50_000, 32, 3)


@pytest.mark.parametrize(
    ("num_train", "num_split", "batch_size"), [(15, 15, 15), (18, 14, 14), (20, 16, 16), (40, 32, 16), (3, 2, 2)]
)
def test_a_training_split_smaller_than_a_batch_is_one_batch(num_train: int, num_split: int, batch_size: int) -> None:
    fitted = FAST.fit_to("cifar10", num_train, 32, 3, num_split)
    assert fitted.sizes[0] == batch_size
    assert fitted.lr == pytest.approx(FAST.lr * batch_size / 128)


# What a recipe asks of the training.


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        ({}, False),
        ({"patience": 3}, False),
        ({"schedule": "cyclic", "warmup": 0}, False),
        ({"schedule": "plateau", "warmup": 0}, True),
        ({"stop_patience": 3}, True),
        ({"keep_best": True}, True),
    ],
)
def test_plateau_early_stopping_and_best_weights_need_the_validation_split(
    values: dict[str, Any], needed: bool
) -> None:
    assert Recipe.model_validate({"name": "mine", "epochs": 1} | values).needs_validation is needed


@pytest.mark.parametrize(
    ("values", "mixes"),
    [
        ({}, False),
        ({"cutmix": 1}, True),
        ({"mixup": 0.2, "mix_probability": 0.1}, True),
        ({"cutmix": 1, "mixup": 0.2, "mix_probability": 0}, False),
    ],
)
def test_images_are_mixed_where_a_strength_and_the_probability_are_above_zero(
    values: dict[str, Any], mixes: bool
) -> None:
    assert Recipe.model_validate({"name": "mine", "epochs": 1} | values).mixes is mixes


# Another length.


@pytest.mark.parametrize("epochs", [1, 30, 10_000])
@pytest.mark.parametrize("recipe", [FAST, RECIPES["ft"]], ids=lambda recipe: recipe.name)
def test_another_length_changes_nothing_else(recipe: Recipe, epochs: int) -> None:
    assert with_epochs(recipe, epochs) == recipe.model_copy(update={"epochs": epochs})


@pytest.mark.parametrize("epochs", [0, -1, 10_001])
def test_a_length_out_of_range_is_refused(epochs: int) -> None:
    with pytest.raises(RecipeError) as caught:
        with_epochs(FULL, epochs)
    assert str(caught.value).startswith(f"epochs = {epochs}: input should be ")
    assert "\n" not in str(caught.value)


# Another batch.


@pytest.mark.parametrize("batch_size", [1, 96, 65_536])
def test_another_batch_changes_nothing_else(batch_size: int) -> None:
    assert with_batch_size(FAST, batch_size) == FAST.model_copy(update={"batch_size": batch_size})


@pytest.mark.parametrize(("recipe", "batch_size"), [(FAST, 0), (FAST, 65_537), (RECIPES["ft"], 1)])
def test_a_batch_that_the_recipe_cannot_have_is_refused_in_one_line(recipe: Recipe, batch_size: int) -> None:
    with pytest.raises(RecipeError) as caught:
        with_batch_size(recipe, batch_size)
    assert "batch_size" in str(caught.value) and "\n" not in str(caught.value)


def test_half_of_a_batch_has_half_of_the_learning_rates_and_nothing_else_of_its_own() -> None:
    recipe = Recipe(name="mine", epochs=3, batch_size=129, lr=0.4, min_lr=0.1, schedule="cosine", halve_batch=True)
    assert recipe.halved == recipe.model_copy(update={"batch_size": 64, "lr": 0.2, "min_lr": 0.05})
    assert Recipe.model_validate(recipe.halved.model_dump()) == recipe.halved


def test_the_rate_of_muon_goes_with_the_batch_as_the_rate_of_sgd_does() -> None:
    recipe = Recipe(name="mine", epochs=3, batch_size="auto", optimizer="muon", lr=0.8, muon_lr=0.04, halve_batch=True)
    fitted = recipe.fit_to("cifar10", 1_024, 32, 3)
    assert (fitted.batch_size, fitted.lr, fitted.muon_lr) == (32, pytest.approx(0.2), pytest.approx(0.01))
    assert fitted.halved == fitted.model_copy(
        update={"batch_size": 16, "lr": fitted.lr / 2, "min_lr": 0.0, "muon_lr": fitted.muon_lr / 2}
    )


def test_a_rate_per_so_many_images_is_the_same_for_every_batch() -> None:
    recipe = Recipe(name="mine", epochs=3, batch_size="auto", rates_per=1024, lr=11.5, min_lr=0.1, halve_batch=True)
    fitted = recipe.fit_to("cifar10", 1_024, 32, 3)
    assert fitted == recipe.model_copy(update={"batch_size": 32})
    assert fitted.halved == recipe.model_copy(update={"batch_size": 16})
    beside = recipe.model_copy(update={"optimizer": "muon"}).fit_to("cifar10", 1_024, 32, 3)
    assert (beside.lr, beside.muon_lr) == (11.5, pytest.approx(recipe.muon_lr / 4))


@pytest.mark.parametrize(("halve_batch", "batch_size", "half"), [(True, 4, 2), (True, 3, None), (False, 128, None)])
def test_a_batch_is_halved_where_that_was_asked_for_and_leaves_two_images(
    halve_batch: bool, batch_size: int, half: int | None
) -> None:
    halved = Recipe(name="mine", epochs=3, batch_size=batch_size, halve_batch=halve_batch, cutmix=1.0).halved
    assert (halved and halved.batch_size) == half
