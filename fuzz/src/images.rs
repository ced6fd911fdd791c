//! Parses arbitrary bytes as image files: IDX, compressed or not, binary CIFAR, and its archive.

#![no_main]

mod place;

use kasmina_trainer::RunConfig;
use kasmina_trainer::run::input_hashes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (which, bytes) = input;
    let (task, name) = match which % 5 {
        0 => ("mnist", "train-images-idx3-ubyte"),
        1 => ("mnist", "train-images-idx3-ubyte.gz"),
        2 => ("cifar10", "data_batch_1.bin"),
        3 => ("cifar10", "cifar-10-binary.tar.gz"),
        _ => ("cifar100", "train.bin"),
    };
    place::empty();
    place::file(name, bytes);
    // The labels are a valid file.
    place::file("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 1, 3]);
    let mut config = RunConfig::for_task(task).expect("the task is known");
    config.data.dir = Some(place::folder().to_owned());
    let _ = input_hashes(&config);
});
