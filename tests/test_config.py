from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.config import DomainRule, Recipe, Source, load_recipe, recipe_from
from tinyrm.errors import UserError
from tinyrm.prompt import builtin

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


@pytest.fixture
def recipe(tmp_path):
    """`recipe(text)`: the path of a recipe with this text."""

    def write(text="", name="mine.toml"):
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_that_ship_load(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.data.train or path.stem == "minilm", "only the recipe for a file of one's own names none"
    builtin(recipe.prompt.template, recipe.prompt.slot, recipe.prompt.max_length)


def test_there_are_recipes():
    assert RECIPES


def test_an_empty_recipe_is_the_defaults_named_after_its_file(recipe):
    assert load_recipe(recipe()) == Recipe("mine")
    assert load_recipe(recipe()).folder == Path("runs/mine")
    assert load_recipe(recipe('output = "{name}/{name}-{x}"')).folder == Path("mine/mine-{x}")


def test_what_a_recipe_says_is_read(recipe):
    text = """
    name = "other"
    [data]
    train = [{path = "a.jsonl"}, {path = "b.parquet", rows = 5, domain = "chat", winner = "safer"}]
    [[data.domains]]
    domain = "reasoning"
    source = "*magpie*"
    column = "prompt"
    matches = ["*sql*"]
    [[data.domains]]
    domain = "chat"
    matches = ["*magpie*", "x"]
    [model.adapter]
    kind = "dora"
    alpha = 8
    [train]
    betas = [0.8, 0.9]
    """
    made = load_recipe(recipe(text))
    assert made.name == "other"
    assert [(source.path, source.rows, source.domain, source.winner) for source in made.data.train] == [
        ("a.jsonl", None, None, None),
        ("b.parquet", 5, "chat", "safer"),
    ]
    assert made.data.domains == (
        DomainRule("reasoning", ("*sql*",), "prompt", "*magpie*"),
        DomainRule("chat", ("*magpie*", "x")),
    )
    assert (made.model.adapter.kind, made.model.adapter.alpha, made.train.betas) == ("dora", 8.0, (0.8, 0.9))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sed": 1}, "unknown key `sed`; did you mean 'seed'"),
        ({"zzz": 1}, "unknown key `zzz`; known: ablation, cache, data"),
        ({"prompt": {"max_lenght": 9}}, "unknown key `prompt.max_lenght`; did you mean 'max_length'"),
        ({"model": {"adapter": {"rnak": 9}}}, "unknown key `model.adapter.rnak`; did you mean 'rank'"),
        ({"data": {"train": [{"path": "a"}, {"pathh": "b"}]}}, "unknown key `data.train.pathh`; did you mean 'path'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_at_any_depth(values, message):
    with pytest.raises(UserError) as refused:
        recipe_from({"name": "x"} | values, "my.toml")
    assert str(refused.value).startswith(f"my.toml: {message}")


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"seed": 1.5}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"train": 5}, "train"),
        ({"train": {"lr": "fast"}}, "train.lr"),
        ({"train": {"betas": [0.9]}}, "train.betas"),
        ({"prompt": {"template": "triple"}}, "prompt.template"),
        ({"model": {"adapter": {"kind": True}}}, "model.adapter.kind"),
        ({"data": {"train": 5}}, "data.train"),
        ({"data": {"train": [{"rows": 5}]}}, "data.train[0]"),
        ({"data": {"leak_check": 1}}, "data.leak_check"),
        ({"data": {"domains": [{"domain": "chat", "matches": "*"}]}}, "data.domains[0].matches"),
        ({"data": {"domains": [{"domain": "chat", "matches": [], "column": "x"}]}}, "data.domains[0].column"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_place(values, key):
    with pytest.raises(UserError) as refused:
        recipe_from({"name": "x"} | values, "my.toml")
    message = str(refused.value)
    assert message.startswith("my.toml: ")
    assert f"`{key}" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("data.validation", [-0.1, 0.95]),
        ("data.validation_rows", [0]),
        ("prompt.max_length", [31, 10**6]),
        ("prompt.general", [-0.1, 1.1]),
        ("model.frozen", [-1]),
        ("model.head_scale", [0]),
        ("model.adapter.rank", [0]),
        ("warmup.tokens", [-1]),
        ("warmup.lr", [0, -1, 11]),
        ("warmup.mask_rate", [0, 1]),
        ("warmup.max_length", [0]),
        ("train.epochs", [0, -1]),
        ("train.batch_size", [0]),
        ("train.tokens_per_batch", [0]),
        ("train.lr", [0, -1, 11, "nan", "inf"]),
        ("train.betas", ["[1.0, 0.9]", "[0.9, -0.1]"]),
        ("train.eps", [0]),
        ("train.weight_decay", [-1]),
        ("train.warmup", [-0.1, 1.1]),
        ("train.final_lr", [-0.1, 1.1]),
        ("train.clip", [0]),
        ("train.evaluations", [0]),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(recipe, key, values):
    for value in values:
        with pytest.raises(UserError, match=rf"mine.toml: {key} = .* must lie between .* and "):
            load_recipe(recipe(), [f"{key}={value}"])


@pytest.mark.parametrize("rows", [0, -5])
def test_a_source_without_rows_is_refused(rows):
    with pytest.raises(UserError, match=r"data\.train\.rows"):
        recipe_from({"name": "x", "data": {"train": [{"path": "a", "rows": rows}]}}, "my.toml")


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("seed=5", lambda r: r.seed == 5),
        ("train.lr=1e-4", lambda r: r.train.lr == 1e-4),
        ("train.epochs=2", lambda r: r.train.epochs == 2.0),
        ("model.base=owner/name", lambda r: r.model.base == "owner/name"),
        ("model.base='minilm'", lambda r: r.model.base == "minilm"),
        ("prompt.instruction=Which is better = best?", lambda r: r.prompt.instruction == "Which is better = best?"),
        ("model.adapter.kind=lora", lambda r: r.model.adapter.kind == "lora"),
        ("train.betas=[0.5, 0.6]", lambda r: r.train.betas == (0.5, 0.6)),
        ('data.train=[{path = "a.csv"}]', lambda r: [source.path for source in r.data.train] == ["a.csv"]),
        ("data.leak_files=['x', 'y']", lambda r: r.data.leak_files == ("x", "y")),
        ("data.leak_check=false", lambda r: r.data.leak_check is False),
        (
            "data.domains=[{domain = 'chat', matches = ['*']}]",
            lambda r: r.data.domains == (DomainRule("chat", ("*",)),),
        ),
    ],
)
def test_an_override_is_applied(recipe, override, read):
    assert read(load_recipe(recipe("seed = 1\n[train]\nlr = 0.1\n"), [override]))


def test_the_last_override_wins_and_the_rest_of_its_table_stays(recipe):
    made = load_recipe(recipe("[train]\nlr = 0.1\nepochs = 3\n"), ["train.lr=0.2", "train.lr=0.3"])
    assert (made.train.lr, made.train.epochs) == (0.3, 3.0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr", "an override is key=value"),
        ("=5", "an override is key=value"),
        ("", "an override is key=value"),
        ("seed.x=5", "'seed' holds a value, not a table"),
        ("train.lrr=5", "unknown key `train.lrr`; did you mean 'lr'"),
        ("train..lr=5", "unknown key `train.`"),
        ("train.lr=fast", "Expected `float`, got `str`"),
        ("train=5", "Expected `object`, got `int`"),
    ],
)
def test_a_malformed_override_is_refused(recipe, override, message):
    with pytest.raises(UserError) as refused:
        load_recipe(recipe("seed = 1"), [override])
    assert message in str(refused.value)


@given(st.floats(1e-12, 10), st.integers(0, 2**62), st.text(st.characters(codec="ascii", categories=["L", "P"])))
def test_any_number_or_word_comes_through_an_override(tmp_path_factory, lr, seed, word):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("", "utf-8")
    made = load_recipe(path, [f"train.lr={lr!r}", f"seed={seed}", f"data.root=x{word}"])
    assert (made.train.lr, made.seed, made.data.root) == (lr, seed, f"x{word}")


@pytest.mark.parametrize("content", [b"seed = ", b"\xff\xfe", b"seed = 1\nseed = 2"])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.toml is not a readable TOML recipe"):
        load_recipe(tmp_path / "bad.toml")


def test_a_recipe_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no recipe at .*gone\.toml"):
        load_recipe(tmp_path / "gone.toml")
    with pytest.raises(UserError, match="not a readable TOML recipe"):
        load_recipe(tmp_path)


def test_data_to_train_on_may_be_paths(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text("", "utf-8")
    one = load_recipe(recipe, ["data.train=mine.jsonl"])
    many = load_recipe(recipe, ['data.train=["mine.jsonl", {path="b.csv", rows=3}]'])
    assert one.data.train == (Source("mine.jsonl"),)
    assert many.data.train == (Source("mine.jsonl"), Source("b.csv", rows=3))
