//! `tracing` events and panics of a plugin arrive in the host's log, with the plugin's name and the slot.

use kasmina_plugin_api::{Cx, Kind, Mode, Site, Topology};
use kasmina_tests::registry;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tch::{Device, Kind as Dtype, Tensor};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn events_and_panics_of_a_plugin_reach_the_hosts_log() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_max_level(tracing::Level::INFO)
        .with_writer(captured.clone())
        .finish();
    let registry = registry(&["gated", "ill_seeds"]);
    let site = Site::new(Topology::CNN, 3);
    let x = Tensor::randn([2, 3, 4, 4], (Dtype::Float, Device::Cpu));
    let cx = Cx::new(Mode::Train, 0, "early");
    tracing::subscriber::with_default(subscriber, || {
        let _span = tracing::info_span!("seed", slot = "early", entry = "gate_net").entered();
        let mut gated = registry.resolve(Kind::Blend, "gate_net").unwrap().make_blend(&site, "").unwrap();
        gated.gate(&x, &cx).unwrap();
        let ill = registry.resolve(Kind::Blueprint, "panics_in_forward").unwrap();
        ill.make_seed(&site, "").unwrap().forward(&x, &cx).unwrap_err();
        drop(registry.resolve(Kind::Blueprint, "panics_in_drop").unwrap().make_seed(&site, "").unwrap());
    });
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<String> = log
        .lines()
        .map(|line| {
            // The hash differs from build to build.
            let (before, rest) = line.split_once("generation=\"").unwrap_or((line, ""));
            let rest =
                rest.split_once('"').map_or(String::new(), |(_, rest)| format!("generation=[hash]{rest}"));
            format!("{before}{rest}")
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}
