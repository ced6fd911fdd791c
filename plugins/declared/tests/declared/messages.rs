//! The messages of all errors in declared blueprints.

use crate::common::{TestSeed, read, site};
use kasmina_plugin_api::Topology;
use serde_json::json;
use std::fmt::Write as _;

const HEAD: &str = "[blueprint]\nid = \"gates\"\nsummary = \"s\"\n";

/// A valid layer.
const LINEAR: &str = "[[layer]]\nop = \"linear\"\n";

fn layers(text: &str) -> String {
    format!("{HEAD}{text}")
}

fn messages(table: &[(&str, String)]) -> String {
    let mut messages = String::new();
    for (what, text) in table {
        match read(text, &json!({})) {
            Ok(_) => writeln!(messages, "{what}\n  good").unwrap(),
            Err(error) => writeln!(messages, "{what}\n  {error}").unwrap(),
        }
    }
    messages
}

#[test]
fn errors_in_the_text_and_its_tables() {
    let table = [
        ("not TOML", "[blueprint]\nid = gates\n".to_owned()),
        ("not closed", "[blueprint\n".to_owned()),
        ("a key twice", "[blueprint]\nid = \"a\"\nid = \"b\"\n".to_owned()),
        ("nothing", String::new()),
        ("no id", "[blueprint]\nsummary = \"s\"\n".to_owned()),
        ("no summary", "[blueprint]\nid = \"a\"\n".to_owned()),
        ("a bad id", "[blueprint]\nid = \"My Gates\"\nsummary = \"s\"\n".to_owned()),
        ("an id of another type", "[blueprint]\nid = 4\nsummary = \"s\"\n".to_owned()),
        ("an unknown table", layers(&format!("{LINEAR}[outptu]\nfrom = \"x\"\n"))),
        ("an unknown key", format!("[blueprint]\nid = \"a\"\nsumary = \"s\"\n{LINEAR}")),
        ("a table that is none", format!("blueprint = 3\n{LINEAR}")),
        ("an unknown topology", layers("topologies = [\"cn\"]\n") + LINEAR),
        ("a topology of another kind", layers("topologies = \"cnn\"\n") + LINEAR),
        ("an unknown capability", layers("capabilities = [\"stochastik\"]\n") + LINEAR),
        ("an array in an array", layers("capabilities = [[]]\n") + LINEAR),
        ("no layer", layers("")),
        ("one layer, not an array", layers("[layer]\nop = \"linear\"\n")),
        ("no tables in the array", layers("layer = [1]\n").replace("layer", "a = 1\nlayer")),
        ("an empty array", format!("layer = []\n{HEAD}")),
        ("a parameter of text", layers(&format!("[parameters]\nwidth = \"4\"\n{LINEAR}"))),
        ("a parameter called C", layers(&format!("[parameters]\nC = 4\n{LINEAR}"))),
        ("a parameter with a point", layers(&format!("[parameters]\n\"a.b\" = 4\n{LINEAR}"))),
        ("a parameter without end", layers(&format!("[parameters]\na = inf\n{LINEAR}"))),
        ("an integer too large", layers(&format!("[parameters]\na = 99999999999999999999\n{LINEAR}"))),
    ];
    insta::assert_snapshot!(messages(&table));
}

#[test]
fn errors_in_layers_and_their_keys() {
    let parameters = "[parameters]\nwidth = 4\nrate = 0.5\nopen = true\n";
    let with = |text: &str| layers(&format!("{parameters}{text}"));
    let conv = |keys: &str| with(&format!("[[layer]]\nop = \"conv\"\n{keys}\n"));
    let table = [
        ("no op", with("[[layer]]\nname = \"a\"\n")),
        ("an unknown op", with("[[layer]]\nop = \"conf\"\n")),
        ("an unknown op, near none", with("[[layer]]\nop = \"transmogrify\"\n")),
        ("an op of another type", with("[[layer]]\nop = 3\n")),
        ("an unknown key", conv("kernal = 3")),
        ("a key of another op", conv("heads = 3")),
        ("a missing key", with("[[layer]]\nop = \"self_attention\"\n")),
        ("a float for an integer", conv("kernel = 3.0")),
        ("a boolean for an integer", conv("kernel = true")),
        ("an integer for a boolean", conv("bias = 1")),
        ("an unknown flag", conv("bias = \"opne\"")),
        ("a flag that is none", conv("bias = \"rate\"")),
        ("an unknown word", conv("init = \"zero\"")),
        ("a word that is a number", conv("init = 0")),
        ("an unknown parameter", with("[[layer]]\nop = \"scale\"\nvalue = \"rat\"\n")),
        ("text for a number", with("[[layer]]\nop = \"scale\"\nvalue = []\n")),
        ("a flag for a number", with("[[layer]]\nop = \"scale\"\nvalue = \"open\"\n")),
        ("an unknown variable", conv("channels = \"C / widht\"")),
        ("a variable of another case", conv("channels = \"c * 2\"")),
        ("a float in an expression", conv("channels = \"C * rate\"")),
        ("a broken expression", conv("channels = \"max(C / 4, 1\"")),
        ("an expression with an escape", conv("channels = \"C \\u002b\"")),
        ("a literal string", conv("channels = 'C +'")),
        ("division by zero", conv("channels = \"C / (width - 4)\"")),
        ("overflow", conv("channels = \"C * 9223372036854775807\"")),
        ("a width of nothing", conv("channels = \"C - 400\"")),
        ("a width of everything", conv("channels = \"C * 1000000\"")),
        ("an even kernel", conv("kernel = 4")),
        ("groups that do not divide", conv("groups = 5")),
        (
            "a dropout without bound",
            with("[[layer]]\nop = \"dropout\"\np = 1.0\n")
                .replace("summary", "capabilities = [\"stochastic\"]\nsummary"),
        ),
        ("undeclared randomness", with("[[layer]]\nop = \"dropout\"\n")),
        ("a negative eps", with("[[layer]]\nop = \"layer_norm\"\neps = -1\n")),
        ("a name with a point", conv("name = \"a.b\"")),
        ("a name that is taken", conv("name = \"input\"")),
        ("a name that is a number", conv("name = 3")),
    ];
    insta::assert_snapshot!(messages(&table));
}

#[test]
fn errors_in_connections_of_layers() {
    let named =
        |name: &str, from: &str| format!("[[layer]]\nname = \"{name}\"\nop = \"relu\"\nfrom = \"{from}\"\n");
    let table = [
        ("an unknown layer", layers(&(named("gate", "input") + &named("b", "gaet")))),
        ("a name twice", layers(&(named("a", "input") + &named("a", "input")))),
        ("a circle of three", layers(&(named("a", "c") + &named("b", "a") + &named("c", "b")))),
        ("a circle of one", layers(&named("a", "a"))),
        (
            "a circle beside",
            layers(&format!(
                "{}{}[[layer]]\nop = \"linear\"\nfrom = \"input\"\n",
                named("a", "b"),
                named("b", "a")
            )),
        ),
        ("nobody's layer", layers(&(named("a", "input") + &named("b", "input")))),
        ("nobody's layer, unnamed", layers(&format!("{LINEAR}{}", named("b", "input")))),
        ("one input for two", layers("[[layer]]\nop = \"add\"\n")),
        ("one input, written", layers("[[layer]]\nop = \"add\"\nfrom = [\"input\"]\n")),
        ("two inputs for one", layers("[[layer]]\nop = \"relu\"\nfrom = [\"input\", \"input\"]\n")),
        ("no input", layers("[[layer]]\nop = \"relu\"\nfrom = []\n")),
        ("an input that is no name", layers("[[layer]]\nop = \"relu\"\nfrom = 3\n")),
        ("an unknown output", layers(&format!("{}[output]\nfrom = \"aa\"\n", named("a", "input")))),
        ("an output with a typo", layers(&format!("{LINEAR}[output]\ngian = 0\n"))),
        ("an output's unknown word", layers(&format!("{LINEAR}[output]\nresidual = \"sum\"\n"))),
        ("the slot as output", layers(&format!("{LINEAR}[output]\nfrom = \"input\"\n"))),
    ];
    insta::assert_snapshot!(messages(&table));
}

#[test]
fn errors_in_shapes_and_at_birth() {
    let conv = |keys: &str| format!("[[layer]]\nop = \"conv\"\n{keys}\n");
    let sum = "[[layer]]\nname = \"a\"\nop = \"linear\"\nchannels = 4\n[[layer]]\nname = \"b\"\nop = \"linear\"\n\
               channels = 6\nfrom = \"input\"\n[[layer]]\nop = \"add\"\nfrom = [\"a\", \"b\"]\n";
    let zeros = "[output]\nresidual = \"add\"\ngain = 0.0\n";
    let born = |text: &str| format!("{}{text}", layers("capabilities = [\"identity_at_birth\"]\n"));
    let table = [
        ("a width that is not the slot's", layers(&conv("channels = 32"))),
        ("a map that is smaller", layers(&conv("stride = 2"))),
        ("one position", layers("[[layer]]\nop = \"global_avg\"\n")),
        ("a sum of different widths", layers(sum)),
        (
            "maps of different size",
            layers(
                "[[layer]]\nname = \"a\"\nop = \"avg_pool\"\nstride = 2\n[[layer]]\nop = \"concat\"\nfrom = [\"a\", \"input\"]\n",
            ),
        ),
        ("an op of another topology", layers("topologies = [\"transformer\"]\n") + &conv("")),
        ("ops of two topologies", layers(&(conv("") + "[[layer]]\nop = \"self_attention\"\nheads = 1\n"))),
        ("one of two topologies fails", layers("topologies = [\"cnn\", \"transformer\"]\n") + &conv("")),
        ("strides without end", layers(&conv("stride = 64").repeat(4))),
        ("not the identity", born(LINEAR)),
        ("a gain of 1", born(&format!("{LINEAR}[output]\nresidual = \"add\"\ngain = 1.0\n"))),
        ("0 behind 0", born(&format!("{}{zeros}", LINEAR.replace("linear\"", "linear\"\ninit = \"zeros\"")))),
        (
            "0 before a rectifier",
            layers(&format!(
                "{}[[layer]]\nop = \"relu\"\n[output]\nresidual = \"add\"\n",
                LINEAR.replace("linear\"", "linear\"\ninit = \"zeros\"")
            )),
        ),
        ("a gain of 0", born(&format!("{LINEAR}{zeros}"))),
        (
            "an end of 0",
            born(&format!(
                "{}[output]\nresidual = \"add\"\n",
                LINEAR.replace("linear\"", "linear\"\ninit = \"zeros\"")
            )),
        ),
        ("a factor of 1", born("[[layer]]\nop = \"squeeze_excite\"\n")),
        ("a fade", born("[[layer]]\nop = \"norm\"\n[output]\ngain = 0\n")),
    ];
    insta::assert_snapshot!(messages(&table));
}

#[test]
fn errors_in_settings() {
    let text = layers(&format!("[parameters]\nwidth = 4\nrate = 0.5\nopen = true\n{LINEAR}"));
    let mut messages = String::new();
    for settings in [
        json!({ "width": 8, "rate": 1, "open": false }),
        json!({ "widht": 8 }),
        json!({ "height": 8 }),
        json!({ "width": 8.5 }),
        json!({ "width": "8" }),
        json!({ "rate": true }),
        json!({ "open": 1 }),
    ] {
        let result = read(&text, &settings).map_or_else(|error| error, |_| "good".to_owned());
        writeln!(messages, "{settings}\n  {result}").unwrap();
    }
    writeln!(messages, "none\n  {}", read(&layers(LINEAR), &json!({ "a": 1 })).unwrap_err()).unwrap();
    insta::assert_snapshot!(messages);
}

/// Slots that a document does not fit, although it fits others.
#[test]
fn errors_for_slots_that_do_not_fit() {
    let heads = "[[layer]]\nop = \"self_attention\"\nheads = 4\n";
    let few =
        "[[layer]]\nop = \"linear\"\nchannels = \"C / 8\"\n[[layer]]\nop = \"linear\"\nchannels = \"C\"\n";
    let mut messages = String::new();
    for (text, topology, channels) in [
        (layers(heads), Topology::TRANSFORMER, 6),
        (layers(heads), Topology::CNN, 8),
        (layers(few), Topology::CNN, 4),
        (layers("topologies = [\"cnn\"]\n") + LINEAR, Topology::TRANSFORMER, 4),
        (layers(LINEAR), Topology::new("graph"), 4),
    ] {
        let error = TestSeed::new(read(&text, &json!({})).unwrap(), &site(topology, channels)).err().unwrap();
        writeln!(messages, "{topology}, {channels} channels\n  {error}").unwrap();
    }
    insta::assert_snapshot!(messages);
}

/// A configuration crosses the plugin interface as JSON text; parsing it adds nothing to the messages.
#[test]
fn errors_in_a_configuration_as_text() {
    let read =
        |json: &str| serde_json::from_str::<kasmina_declared::GraphConfig>(json).unwrap_err().to_string();
    let config = json!({ "file": "a.toml", "source": "[blueprint]\nid = 3\nsummary = \"s\"\n" });
    assert_eq!(read(&config.to_string()), "a.toml:2:6: `id` is an integer; it must be a string");
    assert!(read("{}").starts_with("missing field `file`"));
    assert!(
        read("{\"file\": \"a\", \"source\": \"\", \"setings\": {}}").starts_with("unknown field `setings`")
    );
}
