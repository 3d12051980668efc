"""How networks are trained: the options that name a recipe or change it, and nas recipe list, show and compare."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.output import Format, OutputFormat, print_rows, print_values

if TYPE_CHECKING:
    from search.data.datasets import Dataset
    from search.recipe import Recipe

A_RECIPE = "A recipe, as listed by `nas recipe list`, or a YAML file."

RecipeName = Annotated[str, typer.Option("--recipe", help="Training recipe: a name or YAML file.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Epochs; by default, the recipe's.")]
BatchSize = Annotated[
    str | None,
    typer.Option("--batch-size", help="Images per batch; auto: the recipe's, halved once if memory runs out."),
]


def parse_recipe(name: str, epochs: int | None = None, batch_size: str | None = None) -> "Recipe":
    """The named recipe, with these epochs and this batch size if they are given.

    Raises:
        InputError: the batch size is not a count.
        RecipeError: there is no such recipe, it has the name of another, or it cannot have these values.
    """
    from search.errors import RecipeError
    from search.recipe import with_batch_size, with_epochs
    from search.recipes import RECIPES, differences, load_recipe
    from search.space.limits import parse_count

    recipe = load_recipe(name)
    differing = differences(recipe, RECIPES.get(recipe.name, recipe)).keys() - {"epochs"}
    if differing:
        fields = ", ".join(sorted(differing))
        raise RecipeError(f"{name}: name: {recipe.name} is a recipe of nas, which differs in {fields}; give it another")
    if batch_size == "auto":
        recipe = recipe.model_copy(update={"halve_batch": True})
    elif batch_size is not None:
        recipe = with_batch_size(recipe, parse_count(batch_size, "batch-size"))
    return recipe if epochs is None else with_epochs(recipe, epochs)


def fit_recipe(recipe: "Recipe", dataset: "Dataset", holds_out: bool = True, on_gpu: bool = False) -> "Recipe":
    """As `search.run.plans.fit_recipe`; what it makes of a batch that is too large is printed on stderr.

    Raises:
        RecipeError: the recipe does not fit the data.
    """
    from search.run import plans

    fitted = plans.fit_recipe(recipe, dataset, holds_out, on_gpu)
    if recipe.batch_size not in ("auto", fitted.batch_size):
        change = f"batch_size = {fitted.batch_size} instead of {recipe.batch_size}"
        print(f"recipe {recipe.name}: {change}; there are no more training images", file=sys.stderr)
    return fitted


def list_recipes(format: OutputFormat = Format.TABLE) -> None:
    """List the named recipes: length, optimiser, learning rate, schedule, augmentation."""
    from search.recipes import RECIPES, summary

    print_rows([summary(recipe) for recipe in RECIPES.values()], format)


def show_recipe(
    name: Annotated[str, typer.Argument(metavar="NAME", help=A_RECIPE)],
    format: OutputFormat = Format.TABLE,
) -> None:
    """Show a recipe as the YAML file of which you can make your own; a line above every field says what it is."""
    from search.recipes import all_values, load_recipe, to_yaml

    recipe = load_recipe(name)
    if format is Format.TABLE:
        print(to_yaml(recipe), end="")
    else:
        print_values(all_values(recipe), format)


def compare_recipes(
    one: Annotated[str, typer.Argument(metavar="NAME", help=A_RECIPE)],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The one to compare it with.")],
    format: OutputFormat = Format.TABLE,
) -> None:
    """Compare two recipes: the fields in which they differ, with the value of each."""
    from search.recipes import as_written, differences, load_recipe

    pairs = differences(load_recipe(one), load_recipe(other))
    if format is Format.TABLE:
        if not pairs:
            print(f"{one} and {other} train alike")
            return
        pairs = {field: (as_written(ours), as_written(theirs)) for field, (ours, theirs) in pairs.items()}
    print_rows([{"field": field, one: ours, other: theirs} for field, (ours, theirs) in pairs.items()], format)
