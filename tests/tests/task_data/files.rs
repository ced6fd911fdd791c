//! Writes small data sets in the original formats.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// Pixels of an image whose brightness rises with its label, with a pattern that depends on its number.
fn image(label: usize, classes: usize, number: usize, pixels: usize) -> Vec<u8> {
    let bright = 20 + 200 * label / classes;
    (0..pixels).map(|i| (bright + (i * 7 + number * 13) % 17) as u8).collect()
}

pub(crate) fn cifar(folder: &Path, archive: bool) {
    let file = |images: usize| -> Vec<u8> {
        (0..images).flat_map(|i| [vec![(i % 10) as u8], image(i % 10, 10, i, 3072)].concat()).collect()
    };
    let mut files: Vec<(String, Vec<u8>)> =
        (1..=5).map(|i| (format!("data_batch_{i}.bin"), file(20))).collect();
    files.push(("test_batch.bin".to_owned(), file(30)));
    let inner = "cifar-10-batches-bin";
    if !archive {
        fs::create_dir(folder.join(inner)).unwrap();
        for (name, bytes) in files {
            fs::write(folder.join(inner).join(name), bytes).unwrap();
        }
        return;
    }
    let gz =
        GzEncoder::new(fs::File::create(folder.join("cifar-10-binary.tar.gz")).unwrap(), Compression::fast());
    let mut tar = tar::Builder::new(gz);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, format!("{inner}/{name}"), bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

pub(crate) fn cifar100(folder: &Path) {
    let file = |images: usize| -> Vec<u8> {
        let one = |i: usize| [vec![0, (i % 100) as u8], image(i % 100, 100, i, 3072)].concat();
        (0..images).flat_map(one).collect()
    };
    fs::create_dir(folder.join("cifar-100-binary")).unwrap();
    fs::write(folder.join("cifar-100-binary/train.bin"), file(100)).unwrap();
    fs::write(folder.join("cifar-100-binary/test.bin"), file(30)).unwrap();
}

pub(crate) fn idx(dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|n| n.to_be_bytes()));
    bytes.extend(elements);
    bytes
}

pub(crate) fn mnist(folder: &Path, packed: bool) {
    fs::create_dir_all(folder).unwrap();
    for (which, images) in [("train", 100_u32), ("t10k", 30)] {
        let labels: Vec<u8> = (0..images).map(|i| (i % 10) as u8).collect();
        let pixels: Vec<u8> = (0..images as usize).flat_map(|i| image(i % 10, 10, i, 784)).collect();
        for (name, bytes) in [
            ("images-idx3-ubyte", idx(&[images, 28, 28], &pixels)),
            ("labels-idx1-ubyte", idx(&[images], &labels)),
        ] {
            let path = folder.join(format!("{which}-{name}"));
            if packed {
                let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
                gz.write_all(&bytes).unwrap();
                fs::write(
                    path.with_extension("gz").with_file_name(format!("{which}-{name}.gz")),
                    gz.finish().unwrap(),
                )
                .unwrap();
            } else {
                fs::write(path, bytes).unwrap();
            }
        }
    }
}

/// Rewrites the archive of CIFAR-10, with each entry replaced by the entries that `change` returns.
pub(crate) fn rewrite(folder: &Path, change: impl Fn(&str, Vec<u8>) -> Vec<(String, Vec<u8>)>) {
    use std::io::Read as _;
    let path = folder.join("cifar-10-binary.tar.gz");
    let mut old = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&path).unwrap()));
    let mut entries = Vec::new();
    for entry in old.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        entries.extend(change(&name, bytes));
    }
    let mut new = tar::Builder::new(GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast()));
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        new.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    new.into_inner().unwrap().finish().unwrap();
}
