//! Slots of a module: where they are, and what a tap may do.

use crate::modules::{RecordingTaps, build, images, names, script};
use kasmina_plugin_api::abi::HostInstance;
use kasmina_plugin_api::{ErrorKind, Mode, PluginError, TapHandler};
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::script::{Failed, Fit};
use serde_json::json;
use std::fmt::Write as _;
use tch::Tensor;

/// Returns an error at one slot.
struct FailingTap(usize, PluginError);

impl TapHandler for FailingTap {
    fn at(&mut self, slot: usize, x: Tensor) -> kasmina_plugin_api::Result<Tensor> {
        if slot == self.0 { Err(self.1.clone()) } else { Ok(x) }
    }
}

#[test]
fn slots_are_named_by_path_in_the_order_of_forward() {
    let host = build("resnet", &json!({})).unwrap();
    assert_eq!(
        names(&host),
        ["stem", "layer1", "layer2"],
        "without the pool, which has one position, and the head"
    );
    let all = build("resnet", &json!({ "slots": ["**.norm", "layer*", "layer1.0"] })).unwrap();
    let wanted = ["layer1.0.norm", "layer1.0", "layer1.1.norm", "layer1", "layer2.0.norm", "layer2"];
    assert_eq!(names(&all), wanted);
    let spec = |host: &HostInstance| -> Vec<_> {
        host.slots().iter().map(|s| (s.channels, s.topology.as_str(), s.aliases.join(" "))).collect()
    };
    let wanted =
        [(4, "cnn", "early".to_owned()), (4, "cnn", "mid".to_owned()), (8, "cnn", "late".to_owned())];
    assert_eq!(spec(&host), wanted);
    let text = json!({ "slots": ["layers.*"], "sample": [6], "tokens": true });
    let wanted = [(8, "transformer", "early".to_owned()), (8, "transformer", "mid late".to_owned())];
    assert_eq!(spec(&build("transformer", &text).unwrap()), wanted);
    let other = json!({ "slots": ["layers.0"], "sample": [6], "tokens": true, "topology": "sequence" });
    assert_eq!(build("transformer", &other).unwrap().slots()[0].topology.as_str(), "sequence");
    // There is no slot behind a child whose output is the output of the module.
    assert!(
        !names(&build("transformer", &json!({ "sample": [6], "tokens": true })).unwrap()).contains(&"head")
    );
    // Nor behind a child whose output is written to in place by a later module.
    assert_eq!(names(&build("inplace", &json!({})).unwrap()), ["conv", "relu"]);
    // A traced module has its submodules too.
    assert_eq!(names(&build("traced", &json!({})).unwrap()), ["0", "1", "2", "3"]);
}

#[test]
fn calls_are_listed_in_the_order_in_which_they_return() {
    let mut text = String::new();
    for name in ["resnet", "shared", "pair", "transformer", "traced", "frozen"] {
        writeln!(text, "{name}").unwrap();
        for call in script(name).calls().unwrap() {
            match call.fit {
                Fit::Fits => writeln!(text, "  {}", call.path).unwrap(),
                other => writeln!(text, "  {}: {other:?}", call.path).unwrap(),
            }
        }
    }
    insta::assert_snapshot!(text);
}

/// A tap that returns its input runs no operator, and does not wait for the device.
#[test]
fn a_tap_runs_no_operator() {
    let ops = |slots: &[&str]| {
        let mut script = script("resnet");
        script.attach(slots).unwrap();
        script.train(true).unwrap();
        let counter = OpCounter::start().unwrap();
        let _ = script.forward::<()>(&images(), &mut |_, x| Ok(x)).unwrap();
        counter.finish().unwrap()
    };
    let bare = ops(&[]);
    assert_eq!(bare, ops(&["layer1", "layer1.0", "layer1.0.conv", "stem", "layer2"]));
    assert!(
        bare.contains_key("aten::batch_norm") && !bare.contains_key("aten::_local_scalar_dense"),
        "{bare:?}"
    );
}

#[test]
fn an_error_of_a_tap_is_returned_unchanged() {
    let mut host = build("resnet", &json!({})).unwrap();
    let tap_error = PluginError::new(ErrorKind::Unsupported, "not today").with_code(7);
    let failed = host.forward(&images(), Mode::Train, &mut FailingTap(1, tap_error.clone())).unwrap_err();
    assert_eq!(failed, tap_error);
    // The next forward is not affected.
    let mut taps = RecordingTaps::default();
    let _ = host.forward(&images(), Mode::Train, &mut taps).unwrap();
    assert_eq!(taps.0, [(0, vec![4, 4, 8, 8]), (1, vec![4, 4, 8, 8]), (2, vec![4, 8, 8, 8])]);
}

#[test]
fn a_panic_in_a_tap_passes_through_the_module() {
    let mut script = script("resnet");
    script.attach(&["stem"]).unwrap();
    let x = images();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = script.forward::<()>(&x, &mut |_, _| std::panic::panic_any(7_u8));
    }));
    assert_eq!(caught.unwrap_err().downcast_ref::<u8>(), Some(&7));
    assert!(script.forward::<()>(&x, &mut |_, x| Ok(x)).is_ok());
}

/// A module may run inside a tap of another; a failing tap of the inner one does not affect the outer one.
#[test]
fn a_module_inside_a_tap_has_its_own_taps() {
    let (mut outer, mut inner) = (script("resnet"), script("digits"));
    outer.attach(&["layer1", "layer2"]).unwrap();
    inner.attach(&["body.0", "body.1"]).unwrap();
    let x = images();
    let mut seen = Vec::new();
    let done = outer.forward::<&str>(&x, &mut |slot, features| {
        seen.push(("outer", slot));
        let within = inner.forward::<&str>(&x, &mut |slot, x| {
            seen.push(("inner", slot));
            if slot == 1 { Err("enough") } else { Ok(x) }
        });
        assert!(matches!(within, Err(Failed::Tap("enough"))));
        Ok(features)
    });
    assert!(done.is_ok());
    let wanted = [("outer", 0), ("inner", 0), ("inner", 1), ("outer", 1), ("inner", 0), ("inner", 1)];
    assert_eq!(seen, wanted);
}
