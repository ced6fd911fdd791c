//! MNIST and Fashion-MNIST: files in the IDX format, packed (`.gz`) or not.

use super::files::{Published, Raw, Source, Twin, find};
use super::names;
use super::set::Set;
use crate::error::TrainError;
use crate::task::digits::DIGITS;
use std::path::Path;

const FIRST: &[&str] = &["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"];

const OF_MNIST: &[(&str, &str)] = &[
    ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
    ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
    ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
    ("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
    ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    ("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
];

const OF_FASHION: &[(&str, &str)] = &[
    ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
    ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
    ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ("train-images-idx3-ubyte", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    ("train-labels-idx1-ubyte", "9018921c3c673c538a1fc5bad174d6f9"),
    ("t10k-images-idx3-ubyte", "8181f5470baa50b63fa0f6fddb340f0a"),
    ("t10k-labels-idx1-ubyte", "15d484375f8d13e6eb1aabb0c3f46965"),
];

pub(super) const MNIST: Set = Set {
    id: super::MNIST,
    classes: 10,
    names: &DIGITS,
    mean: &[0.1307],
    deviation: &[0.3081],
    published: Published {
        folders: &["mnist", "MNIST/raw"],
        first: FIRST,
        md5: OF_MNIST,
        twin: Some(Twin { id: super::FASHION_MNIST, md5: OF_FASHION }),
        from: "the four files of https://ossci-datasets.s3.amazonaws.com/mnist/ (train-images-idx3-ubyte.gz, ...)",
    },
};

pub(super) const FASHION: Set = Set {
    id: super::FASHION_MNIST,
    classes: 10,
    names: &names::FASHION,
    mean: &[0.2860],
    deviation: &[0.3530],
    published: Published {
        folders: &["fashion_mnist", "fashion-mnist", "FashionMNIST/raw"],
        first: FIRST,
        md5: OF_FASHION,
        twin: Some(Twin { id: super::MNIST, md5: OF_MNIST }),
        from: "the four files of https://github.com/zalandoresearch/fashion-mnist (train-images-idx3-ubyte.gz, ...)",
    },
};

/// Reads the training images and the validation images of a set.
pub(super) fn read(set: &Set, folder: &Path) -> Result<(Raw, Raw), TrainError> {
    Ok((part(set, folder, "train")?, part(set, folder, "t10k")?))
}

fn part(set: &Set, folder: &Path, which: &str) -> Result<Raw, TrainError> {
    let source = |what: &str| {
        let plain = format!("{which}-{what}-ubyte");
        let path = find(folder, &[&plain, &format!("{plain}.gz")]).unwrap_or_else(|| folder.join(&plain));
        Source { task: set.id, published: &set.published, path }
    };
    let (of_images, of_labels) = (source("images-idx3"), source("labels-idx1"));
    let (size, pixels) = array(&of_images.read()?, 3).map_err(|text| of_images.wrong(text))?;
    let (count, labels) = array(&of_labels.read()?, 1).map_err(|text| of_labels.wrong(text))?;
    let (&[images, height, width], &[label_count]) = (size.as_slice(), count.as_slice()) else {
        return Err(of_images.wrong("it does not have the dimensions of images"));
    };
    if images != label_count || images == 0 {
        return Err(of_labels.wrong(format!("it has {label_count} labels, but there are {images} images")));
    }
    if let Some((i, label)) = labels.iter().enumerate().find(|(_, label)| **label >= set.classes) {
        let text = format!("image {i} has label {label}; labels must be less than {}", set.classes);
        return Err(of_labels.wrong(text));
    }
    Ok(Raw { size: [1, height, width], pixels, labels })
}

/// Reads an IDX array of bytes: two zero bytes, the type 8, the number of dimensions, the size of each
/// dimension as four bytes, and the elements.
fn array(bytes: &[u8], dimensions: u8) -> Result<(Vec<i64>, Vec<u8>), String> {
    let number =
        |i: usize| -> Option<u32> { Some(u32::from_be_bytes(bytes.get(i..i + 4)?.try_into().ok()?)) };
    let magic = 0x0800 | u32::from(dimensions);
    match number(0) {
        Some(found) if found == magic => {}
        Some(found) => {
            return Err(format!("it begins with {found:#010x}, but must begin with {magic:#010x}"));
        }
        None => return Err("it is shorter than a header".to_owned()),
    }
    let sizes: Option<Vec<i64>> =
        (1..=usize::from(dimensions)).map(|i| number(4 * i).map(i64::from)).collect();
    let sizes = sizes.ok_or("it is shorter than its header")?;
    let elements = &bytes[4 * (1 + usize::from(dimensions))..];
    let wanted = sizes.iter().try_fold(1_i64, |all, n| all.checked_mul(*n));
    if wanted != Some(elements.len() as i64) {
        let wanted = wanted.map_or_else(|| "too many".to_owned(), |n| n.to_string());
        return Err(format!("its header announces {wanted} elements, but it has {}", elements.len()));
    }
    Ok((sizes, elements.to_vec()))
}
