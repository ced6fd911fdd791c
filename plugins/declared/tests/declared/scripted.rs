//! Writes TorchScript modules: an archive with code, a pickle and tensors. Tracing with tch would turn
//! parameters into constants, and the machine that runs these tests may not have PyTorch.

use std::fmt::Write as _;

/// A class of the module's code, with its tensors.
pub(crate) struct Class<'a> {
    pub(crate) name: &'a str,
    pub(crate) code: &'a str,
    /// Trainable parameters with their shapes.
    pub(crate) parameters: &'a [(&'a str, &'a [i64])],
    /// Attributes that are modules.
    pub(crate) children: &'a [(&'a str, Class<'a>)],
}

/// Returns the bytes of a `.pt` file.
pub(crate) fn archive(root: &Class<'_>) -> Vec<u8> {
    let mut pickle = Pickle::default();
    pickle.bytes.extend(b"\x80\x02");
    pickle.module(root);
    pickle.bytes.push(b'.');
    let mut code = String::new();
    declare(root, &mut code);
    let mut files = vec![
        ("m/data.pkl".to_owned(), pickle.bytes),
        ("m/code/__torch__.py".to_owned(), code.into_bytes()),
        ("m/constants.pkl".to_owned(), b"\x80\x02).".to_vec()),
        ("m/version".to_owned(), b"3\n".to_vec()),
    ];
    for (index, length) in pickle.storages.into_iter().enumerate() {
        let values = (0..length).flat_map(|i| (0.1 + 0.05 * i as f32).to_le_bytes()).collect();
        files.push((format!("m/data/{index}"), values));
    }
    zip(&files)
}

/// Writes the code of a class after that of its children, because a type must be declared before its use.
fn declare(class: &Class<'_>, code: &mut String) {
    for (_, child) in class.children {
        declare(child, code);
    }
    let names: Vec<String> = class.parameters.iter().map(|(name, _)| format!("\"{name}\", ")).collect();
    writeln!(code, "class {}(Module):\n  __parameters__ = [{}]", class.name, names.concat()).unwrap();
    code.push_str("  __buffers__ = []\n");
    for (name, _) in class.parameters {
        writeln!(code, "  {name} : Tensor").unwrap();
    }
    code.push_str("  training : bool\n");
    for (name, child) in class.children {
        writeln!(code, "  {name} : __torch__.{}", child.name).unwrap();
    }
    code.push_str(class.code);
}

#[derive(Default)]
struct Pickle {
    bytes: Vec<u8>,
    storages: Vec<i64>,
}

impl Pickle {
    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }
    fn global(&mut self, module: &str, name: &str) {
        self.bytes.extend(format!("c{module}\n{name}\n").as_bytes());
    }
    fn number(&mut self, number: i64) {
        self.bytes.push(b'J');
        self.bytes.extend((number as i32).to_le_bytes());
    }
    fn tuple(&mut self, numbers: &[i64]) {
        self.bytes.push(b'(');
        for number in numbers {
            self.number(*number);
        }
        self.bytes.push(b't');
    }

    fn module(&mut self, class: &Class<'_>) {
        self.global("__torch__", class.name);
        self.bytes.extend(b")\x81}(");
        for (name, shape) in class.parameters {
            self.text(name);
            self.tensor(shape);
        }
        self.text("training");
        self.bytes.push(b'\x88');
        for (name, child) in class.children {
            self.text(name);
            self.module(child);
        }
        self.bytes.extend(b"ub");
    }

    fn tensor(&mut self, shape: &[i64]) {
        let length: i64 = shape.iter().product();
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.extend(b"((");
        self.text("storage");
        self.global("torch", "FloatStorage");
        self.text(&self.storages.len().to_string());
        self.text("cpu");
        self.number(length);
        self.bytes.extend(b"tQ");
        self.number(0);
        self.tuple(shape);
        let strides: Vec<i64> = (1..=shape.len()).map(|i| shape[i..].iter().product()).collect();
        self.tuple(&strides);
        // `requires_grad` is true, and there are no hooks.
        self.bytes.push(b'\x88');
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")RtR");
        self.storages.push(length);
    }
}

/// Returns an uncompressed zip archive.
fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let mut header = Vec::new();
        for half in [20u16, 0, 0, 0, 0] {
            header.extend(half.to_le_bytes());
        }
        for word in [crc32(bytes), bytes.len() as u32, bytes.len() as u32] {
            header.extend(word.to_le_bytes());
        }
        header.extend((name.len() as u16).to_le_bytes());
        header.extend(0u16.to_le_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&header);
        directory.extend([0; 10]);
        directory.extend((out.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&header);
        out.extend(name.as_bytes());
        out.extend(bytes);
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    for half in [files.len() as u16; 2] {
        out.extend(half.to_le_bytes());
    }
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}
