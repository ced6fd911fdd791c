//! TorchScript modules are code: which of them are trusted, and which code is refused.

use kasmina_plugin_api::Kind;
use kasmina_registry::{Policy, Registry, SearchPath};
use kasmina_tests::archive::{edited, replaced, with_record};
use kasmina_tests::{cases, kasmina, output};
use kasmina_torch_ext::script::Script;
use std::path::{Path, PathBuf};
use tch::Device;

/// The line of `forward` before which the cases insert code.
const LINE: &str = "    _0 = (body).forward(torch.add(x, offset), )\n";

fn digits() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/script/digits.pt")
}

fn loads(bytes: &[u8]) -> String {
    match Script::load(bytes, Device::Cpu) {
        Ok(_) => "loaded".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn with(line: &str) -> Vec<u8> {
    replaced(&digits(), LINE, &format!("{line}{LINE}"))
}

/// docs/security.md: 17
#[test]
fn a_module_may_compute_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("written");
    let path = written.display().to_string();
    let cases = [
        ("nothing more", "    y = torch.relu(x)\n".to_owned()),
        ("a text as a choice", "    y = torch.div(x, 2., rounding_mode=\"floor\")\n".to_owned()),
        ("a message", "    _2 = torch.format(\"{}\", 1)\n".to_owned()),
        ("writing a file", format!("    ops.aten.save([x], \"{path}\")\n")),
        ("writing a file by another name", format!("    torch.save([x], \"{path}\")\n")),
        (
            "mapping a file",
            format!("    x = torch.add(x, torch.mean(torch.from_file(\"{path}\", False, 4)))\n"),
        ),
        ("the run's generator", "    torch.manual_seed(1)\n".to_owned()),
        ("printing", "    print(\"hello\")\n".to_owned()),
    ];
    let mut table = String::new();
    for (what, line) in &cases {
        table += &format!("{what}: {}\n", loads(&with(line)));
    }
    assert!(!written.exists());
    insta::assert_snapshot!(table.replace(&path, "[FILE]"));
}

/// Default values are computed while a module is compiled. Code may also be hidden in attributes, behind
/// comments, or by blanks in names.
///
/// docs/security.md: 17
#[test]
fn hidden_code_is_found_before_the_module_is_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("written");
    let path = written.display().to_string();
    let function = format!("def w() -> int:\n  torch.save([1], \"{path}\")\n  return 1\n");
    let code = |edit: &dyn Fn(&str) -> String| {
        loads(&edited(&digits(), |text| text.contains("class Digits").then(|| edit(text))))
    };
    let with_default = |value: &str| {
        code(&|text| {
            format!(
                "{function}{}",
                text.replace("x: Tensor) -> Tensor:", &format!("x: Tensor, y: int={value}) -> Tensor:"))
            )
        })
    };
    let mut table = String::new();
    for value in ["__torch__.w()", "__torch__.w ()", "[__torch__.w()][0]", "int(1.)"] {
        table += &format!("a default of {value}: {}\n", with_default(value));
    }
    table += &format!("a default of 1: {}\n", with_default("1"));
    let attribute =
        |text: &str| text.replace("  training : bool\n", "  training : bool\n  z : Final[int] = int(1.)\n");
    table += &format!("an attribute: {}\n", code(&attribute));
    let tuple = |text: &str| {
        text.replace("  training : bool\n", "  training : bool\n  z : Final[Tuple[int, int]] = (1, 2)\n")
    };
    table += &format!("an attribute that is a tuple: {}\n", code(&tuple));
    table += &format!("blanks: {}\n", loads(&with("    h = __torch__.torch . classes.dist_c10d.Store\n")));
    let comment = format!("    # it's\n    y = {}x{}\n", "torch.relu(".repeat(3000), ")".repeat(3000));
    table += &format!("behind a comment: {}\n", loads(&with(&comment)));
    table += &format!("a text of several lines: {}\n", loads(&with("    y = \"\"\"a\n\"\"\"\n")));
    let inner = "    def f(a: Tensor) -> Tensor:\n      return a\n";
    table += &format!("a function in a function: {}\n", loads(&with(inner)));
    assert!(!written.exists());
    insta::assert_snapshot!(table.replace(&path, "[FILE]"));
}

#[test]
fn nothing_of_a_module_runs_while_it_is_loaded() {
    let method =
        "  def __setstate__(self: __torch__.Digits,\n    state: Tensor) -> NoneType:\n    return None\n";
    let printed = loads(&edited(&digits(), |text| {
        text.contains("class Digits").then(|| format!("{}{method}", text.trim_end().to_owned() + "\n"))
    }));
    let class = loads(&with("    h = __torch__.torch.classes.dist_c10d.Store\n"));
    insta::assert_snapshot!(format!("{printed}\n{class}"));
}

/// Modules that once overflowed the stack, on a thread with a stack of 2 MiB.
#[test]
fn a_module_that_would_overflow_the_stack_is_refused_or_runs() {
    let printed = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(|| {
            let chain = |n: usize| "    x = torch.relu(x)\n".repeat(n);
            assert_eq!(loads(&with(&chain(30_000))), "loaded");
            let many = loads(&with(&chain(200_000)));
            let nested = format!("    y = {}x{}\n", "torch.relu(".repeat(3000), ")".repeat(3000));
            let nested = loads(&with(&nested));
            let long = format!("    y = x{}\n", ".relu()".repeat(30_000));
            [many, nested, loads(&with(&long))].join("\n")
        })
        .unwrap()
        .join()
        .unwrap();
    insta::assert_snapshot!(printed);
}

/// Each of 18 methods calls the next one twice.
#[test]
fn a_module_with_exponentially_many_calls_is_refused() {
    let mut methods = String::new();
    for i in 0..18 {
        let next = i + 1;
        methods += &format!(
            "  def m{i}(self: __torch__.Digits,\n    x: Tensor) -> Tensor:\n    y = (self).m{next}(x, )\n    return (self).m{next}(y, )\n"
        );
    }
    let last = "  def m18(self: __torch__.Digits,\n    x: Tensor) -> Tensor:\n    return torch.relu(x)\n";
    let bytes = edited(&digits(), |text| {
        let text = text.contains("class Digits").then(|| {
            text.replace("(body).forward(torch.add(x, offset), )", "(body).forward((self).m0(x, ), )")
        })?;
        Some(format!("{}\n{}{last}", text.trim_end(), methods))
    });
    let printed = match Script::load(&bytes, Device::Cpu).and_then(|script| script.calls()) {
        Ok(_) => "listed".to_owned(),
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!(printed);
}

/// docs/security.md: 18
#[test]
fn a_host_module_is_judged_like_a_plugin() {
    let home = tempfile::tempdir().unwrap();
    let config = cases::write("digits_grafted", home.path());
    let module = home.path().join("net.pt");
    let train = |out: &str, args: &[&str]| {
        let mut command = kasmina(home.path());
        command.env_remove("KASMINA_ALLOW_UNSIGNED").env_remove("KASMINA_PLUGIN_PATH");
        command.env("KASMINA_PLUGIN_PATH", "");
        command
            .args(["train", "--epochs", "1", "--no-seeds", "--out", out, "--config"])
            .arg(&config)
            .args(args);
        output(command)
    };
    let text = std::fs::read_to_string(&config).unwrap();
    let named = text.lines().find(|line| line.trim_start().starts_with("module")).unwrap();
    std::fs::copy(digits(), &module).unwrap();
    std::fs::write(&config, text.replace(named, &format!("module = {:?}", module.display().to_string())))
        .unwrap();
    let (_, error, code) = train("a", &[]);
    assert_eq!(code, Some(1), "{error}");
    let here = home.path().display().to_string();
    insta::assert_snapshot!("a_host_module_that_nobody_vouches_for", error.replace(&here, "[DIR]"));
    assert!(!home.path().join("a").exists(), "a refused run leaves no directory");
    // Pinned on first use; other bytes are refused from then on.
    let (_, error, code) = train("b", &["--allow-unsigned"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(std::fs::read_to_string(home.path().join("plugins.lock")).unwrap().contains("net.pt"));
    assert_eq!(train("c", &[]).2, Some(0));
    std::fs::write(&module, with("    y = torch.relu(x)\n")).unwrap();
    let (_, error, code) = train("d", &["--allow-unsigned"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!("a_host_module_with_other_bytes", error.replace(&here, "[DIR]"));
    // `lock` pins the new bytes.
    let mut lock = kasmina(home.path());
    lock.args(["plugins", "lock", "net.pt"]);
    let (printed, error, code) = output(lock);
    assert_eq!(code, Some(0), "{error}");
    assert!(printed.contains("net.pt"), "{printed}");
    assert_eq!(train("e", &[]).2, Some(0));
}

#[test]
fn a_file_of_torch_save_is_recognized() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pt");
    // torch.save writes an archive without code.
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("weights/data.pkl", b"\x80\x02}q\x00.".as_slice()), ("weights/version", b"3\n")] {
        zip.start_file(name, stored).unwrap();
        std::io::Write::write_all(&mut zip, bytes).unwrap();
    }
    zip.finish().unwrap();
    let printed = loads(&std::fs::read(&path).unwrap());
    insta::assert_snapshot!(printed, @"torch: it is not a module written by torch.jit.save: it holds weights without code, as torch.save writes them; write it with torch.jit.save");
}

#[test]
fn an_operator_that_does_not_exist_is_named() {
    insta::assert_snapshot!(loads(&with("    y = ops.nobody.knows(x)\n")));
}

/// Tracing may make the batch size of the example a constant of the module.
#[test]
fn a_module_for_one_batch_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pt");
    std::fs::write(&path, with("    x = torch.reshape(x, [2, 1, 8, 8])\n")).unwrap();
    let registry = Registry::load(&SearchPath::empty(), &Policy::embedded()).unwrap();
    let host = registry.resolve(Kind::Host, "core::grafted").unwrap();
    let config = serde_json::json!({ "module": path, "sample": [1, 8, 8], "slots": ["body.*"] });
    let printed = host.make_host(Device::Cpu, &config.to_string()).unwrap_err().to_string();
    insta::assert_snapshot!(printed.replace(&folder.path().display().to_string(), "[DIR]"));
}

/// The module was saved with `requires_grad` false for every parameter.
#[test]
fn a_module_without_trainable_parameters_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let config = cases::write("digits_grafted", home.path());
    let text = std::fs::read_to_string(&config).unwrap();
    let named = text.lines().find(|line| line.trim_start().starts_with("module")).unwrap();
    let module = home.path().join("net.pt");
    std::fs::write(&module, frozen()).unwrap();
    std::fs::write(&config, text.replace(named, &format!("module = {:?}", module.display().to_string())))
        .unwrap();
    let mut command = kasmina(home.path());
    command.args(["train", "--epochs", "1", "--no-seeds", "--out", "run", "--config"]).arg(&config);
    let (_, error, code) = output(command);
    assert_eq!(code, Some(1), "{error}");
    insta::assert_snapshot!(error.replace(&home.path().display().to_string(), "[DIR]"));
    assert!(!home.path().join("run").exists());
}

/// Returns the module with `requires_grad` false for every parameter.
fn frozen() -> Vec<u8> {
    // The flag is part of the pickle of a tensor.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frozen.pt");
    let mut module = tch::CModule::load(digits()).unwrap();
    for (_, mut tensor) in module.named_parameters().unwrap() {
        let _ = tensor.requires_grad_(false);
    }
    module.set_eval();
    module.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// libtorch allocates the sizes that the directory of an archive states; for the record `version` it does so
/// on opening the archive.
#[test]
fn an_archive_that_claims_gigabytes_is_refused_before_libtorch_reads_it() {
    let mut bytes = std::fs::read(digits()).unwrap();
    let name = b"digits/version";
    let at = bytes.windows(name.len()).rposition(|found| found == name).unwrap();
    // The unpacked size is 22 bytes before the name in a directory entry.
    bytes[at - 22..at - 18].copy_from_slice(&4_000_000_000_u32.to_le_bytes());
    insta::assert_snapshot!(loads(&bytes));
}

/// libtorch's unpickler stores memoized values in a table whose length is the largest index.
#[test]
fn a_pickle_that_asks_for_gigabytes_is_refused_before_libtorch_reads_it() {
    let constants = [b"\x80\x02)r\xff\xff\xff\x3f.".as_slice(), b"\x80\x02)\x94."];
    let printed = constants.map(|pickle| loads(&with_record(&digits(), "constants.pkl", pickle)));
    insta::assert_snapshot!(printed.join("\n"));
}

/// libtorch does not check the number of elements that a pickle states for a storage, and reads past the end
/// of a shorter record.
#[test]
fn a_storage_that_is_larger_than_its_record_is_refused() {
    let file = std::fs::File::open(digits()).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut pickle = Vec::new();
    std::io::Read::read_to_end(&mut archive.by_name("digits/data.pkl").unwrap(), &mut pickle).unwrap();
    // The first storage in the pickle: a small integer, the end of a tuple, and the opcode that reads a
    // storage.
    let at = pickle.windows(4).position(|bytes| bytes[0] == b'K' && bytes[2..] == *b"tQ").unwrap();
    assert_eq!(loads(&with_record(&digits(), "data.pkl", &pickle)), "loaded");
    pickle[at + 1] += 1;
    let larger = loads(&with_record(&digits(), "data.pkl", &pickle));
    // Deeply nested tuples.
    let nested = [b"\x80\x02)".as_slice(), &[0x85; 1000], b"."].concat();
    let nested = loads(&with_record(&digits(), "constants.pkl", &nested));
    insta::assert_snapshot!(format!("{larger}\n{nested}"));
}
