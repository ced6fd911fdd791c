//! The classes of `kasmina predict`.

use crate::runs::{DIGITS, must, train_and_export};
use image::{GrayImage, Luma};
use kasmina_export::{Classified, Network};
use kasmina_trainer::run::Choice;
use kasmina_trainer::task::{Input, Task};
use kasmina_trainer::{RunConfig, task};
use std::path::Path;
use tch::{Device, Tensor};

/// Number of pictures, more than are computed at a time.
const PICTURES: i64 = 70;

/// Writes validation samples as pictures, and returns them as the network reads them.
fn write_pictures(folder: &Path, task: &Task) -> Tensor {
    let Input::Image(input) = &task.interface.input else { unreachable!("digits are images") };
    let (x, _) = task.validation.slice(0, PICTURES).unwrap();
    let values = (&x * input.deviation[0] + input.mean[0]) * 255.0;
    for index in 0..PICTURES {
        let pixel = |x: u32, y: u32| {
            let value = values.f_double_value(&[index, 0, y.into(), x.into()]).unwrap();
            Luma([value.round() as u8])
        };
        let picture = GrayImage::from_fn(input.width as u32, input.height as u32, pixel);
        picture.save_with_format(folder.join(format!("{index:02}.png")), image::ImageFormat::Png).unwrap();
    }
    x
}

#[test]
fn pictures_get_the_classes_of_the_samples_that_they_were_made_of() {
    let home = tempfile::tempdir().unwrap();
    train_and_export(home.path(), DIGITS);
    let task = task::load(&RunConfig::default(), Device::Cpu).unwrap();
    let x = write_pictures(home.path(), &task);
    let names: Vec<String> = (0..PICTURES).map(|index| format!("{index:02}.png")).collect();
    let mut all = Vec::new();
    for path in ["run", "out"] {
        let fixed = ["predict", path, "--device", "cpu", "--json", "--top", "3", "--input"];
        let arguments: Vec<&str> = fixed.into_iter().chain(names.iter().map(String::as_str)).collect();
        all.push(must(home.path(), &arguments));
    }
    assert_eq!(all[0], all[1], "the run and the export");
    let rows: Vec<Classified> = all[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut network = network(home.path());
    let probabilities = network.forward(&x).unwrap().softmax(-1, tch::Kind::Double);
    let mut sure = 0;
    for (index, (row, name)) in rows.iter().zip(&names).enumerate() {
        assert_eq!((row.path.to_str(), row.classes.len()), (Some(name.as_str()), 3));
        let wanted = probabilities.get(index as i64);
        let best = wanted.argmax(0, false).f_int64_value(&[]).unwrap();
        let probability = wanted.f_double_value(&[best]).unwrap();
        // A picture has 256 shades, so a class may change where two are equally probable.
        if probability > 0.6 {
            sure += 1;
            assert_eq!(row.classes[0].class, task.interface.classes[best as usize], "{name}");
            assert!((row.classes[0].probability - probability).abs() < 0.05, "{name}: {probability}");
        }
        assert!(row.classes.is_sorted_by(|a, b| a.probability >= b.probability));
    }
    assert!(sure > PICTURES / 2, "{sure}");
    let table = must(home.path(), &["predict", "out", "--input", "00.png", "--device", "cpu"]);
    let class = &rows[0].classes[0];
    let cells: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    let percent = format!("{:.1}", 100.0 * class.probability);
    assert_eq!(cells, ["00.png", class.class.as_str(), percent.as_str(), "%"]);
}

fn network(home: &Path) -> Network {
    let source = kasmina_export::Source::open(&home.join("run"), Choice::Last).unwrap();
    Network::of(&source, &kasmina_tests::registry(&[]), Device::Cpu).unwrap()
}
