//! `kasmina plugins new`: writes a plugin crate that builds, passes `kasmina plugins check`, and contains an
//! example of everything an author needs.

use super::args::{NewArgs, NewKind};
use crate::failure::Failure;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The folder of the plugin API when this program was built.
const API: Option<&str> = option_env!("KASMINA_PLUGIN_API");
/// The version of the plugin API that the crate depends on if there are no sources.
const VERSION: &str = "1";
/// Reserved names: Rust keywords, crates that every plugin depends on, and the namespace of the built-ins.
const RESERVED: [&str; 16] = [
    "alloc",
    "core",
    "crate",
    "fn",
    "kasmina",
    "kasmina-plugin-api",
    "kasmina-testkit",
    "mod",
    "noop",
    "proc-macro",
    "self",
    "std",
    "struct",
    "super",
    "test",
    "trait",
];

pub(crate) fn run(args: &NewArgs) -> Result<(), Failure> {
    let name = Name::new(&args.name)?;
    let sources = Sources::find(args.path.as_deref())?;
    let folder = Path::new(&args.name);
    fs::create_dir(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(format!("{} already exists", folder.display()))
            .with_help("choose another name, or remove it first"),
        _ => Failure::new(format!("cannot create the folder {}: {error}", folder.display())),
    })?;
    let torch = libtorch();
    for (path, text) in files(&name, args.kind, &sources, torch.as_deref()) {
        write(&folder.join(path), &text)?;
    }
    outln!("wrote {}, a crate with the {} `{}`", folder.display(), args.kind.word(), name.id);
    if torch.is_none() {
        outln!("set LIBTORCH to a libtorch {} before you build it", kasmina_plugin_api::TORCH_VERSION);
    }
    outln!("next: cd {}; README.md lists the steps", folder.display());
    Ok(())
}

impl NewKind {
    fn word(self) -> &'static str {
        match self {
            Self::Blueprint => "blueprint",
            Self::Blend => "blend",
            Self::Host => "host",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Self::Blueprint => include_str!("../../templates/blueprint/lib.rs.template"),
            Self::Blend => include_str!("../../templates/blend/lib.rs.template"),
            Self::Host => include_str!("../../templates/host/lib.rs.template"),
        }
    }

    /// Returns the command that runs the plugin in a training run.
    fn train(self, name: &Name) -> String {
        let library = format!("target/release/lib{}.so", name.id);
        let how = match self {
            Self::Blueprint => format!("--blueprint {}", name.id),
            Self::Blend => format!("--blend-algorithm {}", name.id),
            // The id of a host from a plugin is set in a configuration file.
            Self::Host => {
                return format!(
                    "printf '[host]\\nid = \"{}\"\\n' > run.toml && kasmina train --config run.toml --watch {library} --plugin-path {library}",
                    name.id
                );
            }
        };
        format!("kasmina train --watch {library} --plugin-path {library} {how}")
    }
}

/// A name that is valid for a crate and for a plugin.
struct Name {
    /// Name of the package.
    package: String,
    /// Name of the Rust crate, the plugin and its entry: the package name with `_` in place of `-`.
    id: String,
}

impl Name {
    fn new(text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str, help: String| Err(Failure::new(format!("`{text}` {what}")).with_help(help));
        if text.contains(['/', '\\']) {
            return wrong("is a path", "pass a name; the crate is written into this folder".to_owned());
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(plain) || text.len() > 64
        {
            let suggestion = suggestion(text);
            let help =
                format!("use lowercase letters, digits, - and _, and begin with a letter: `{suggestion}`");
            return wrong("is not a valid name for a plugin crate", help);
        }
        if RESERVED.contains(&text.replace('_', "-").as_str()) {
            return wrong("is a reserved name", format!("choose another: `my-{text}`"));
        }
        Ok(Self { package: text.to_owned(), id: text.replace('-', "_") })
    }
}

/// Returns a valid name that is similar to a text.
fn suggestion(text: &str) -> String {
    let near: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(60)
        .collect();
    let near = near.trim_matches('-');
    match near.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => near.to_owned(),
        Some(_) => format!("my-{near}"),
        None => "my-plugin".to_owned(),
    }
}

/// The sources of Kasmina that a plugin is built against.
struct Sources {
    api: Option<PathBuf>,
    testkit: Option<PathBuf>,
    /// The `Cargo.lock` of these sources.
    lock: Option<PathBuf>,
}

impl Sources {
    fn find(named: Option<&Path>) -> Result<Self, Failure> {
        let is_api = |folder: &PathBuf| {
            fs::read_to_string(folder.join("Cargo.toml"))
                .is_ok_and(|manifest| manifest.contains("name = \"kasmina-plugin-api\""))
        };
        let api = match named {
            None => API.and_then(|api| Path::new(api).canonicalize().ok()).filter(is_api),
            Some(named) => {
                let real = named.canonicalize().ok().filter(is_api);
                Some(real.ok_or_else(|| {
                    Failure::new(format!("{} is not the crate kasmina-plugin-api", named.display()))
                        .with_help("--path takes the folder `plugin-api` of a checkout of Kasmina")
                })?)
            }
        };
        let beside = |path: &str| api.as_ref().and_then(|api| api.join("..").join(path).canonicalize().ok());
        Ok(Self { testkit: beside("testkit"), lock: beside("Cargo.lock"), api })
    }
}

/// Returns the files of the crate: paths and contents.
fn files(name: &Name, kind: NewKind, sources: &Sources, torch: Option<&Path>) -> Vec<(&'static str, String)> {
    let dependency = |path: Option<&Path>| {
        path.map_or_else(
            || quoted(VERSION),
            |path| format!("{{ path = {} }}", quoted(&path.to_string_lossy())),
        )
    };
    let testkit = sources.testkit.as_deref().map(|testkit| {
        include_str!("../../templates/testkit.template").replace("{{testkit}}", &dependency(Some(testkit)))
    });
    let sha2 = testkit.as_ref().map_or("", |_| include_str!("../../templates/sha2.template"));
    let fill = |template: &str| {
        template
            .replace("{{testkit}}", testkit.as_deref().unwrap_or_default())
            .replace("{{sha2}}", sha2)
            .replace("{{name}}", &name.package)
            .replace("{{crate}}", &name.id)
            .replace("{{id}}", &name.id)
            .replace("{{kind}}", kind.word())
            .replace("{{train}}", &kind.train(name))
            .replace("{{api}}", &dependency(sources.api.as_deref()))
    };
    let mut files = vec![
        ("Cargo.toml", fill(include_str!("../../templates/Cargo.toml.template"))),
        ("README.md", fill(include_str!("../../templates/README.md.template"))),
        (".gitignore", include_str!("../../templates/gitignore.template").to_owned()),
        ("src/lib.rs", fill(kind.source())),
    ];
    if testkit.is_some() {
        files.push((
            "tests/conformance.rs",
            include_str!("../../templates/conformance.rs.template").to_owned(),
        ));
    }
    // The versions of dependencies that Kasmina was tested with. Cargo removes those that the plugin does not
    // need.
    files.extend(sources.lock.as_ref().and_then(|lock| Some(("Cargo.lock", fs::read_to_string(lock).ok()?))));
    if let Some(torch) = torch {
        let search = format!("LD_LIBRARY_PATH={}", torch.join("lib").display());
        let text = include_str!("../../templates/config.toml.template")
            .replace("{{libtorch}}", &quoted(&torch.to_string_lossy()))
            .replace("{{search}}", &quoted(&search));
        files.push((".cargo/config.toml", text));
    }
    files
}

/// Quotes a text as a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Returns the folder of the libtorch that is loaded in this process.
fn libtorch() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let path = Path::new(library.get(library.find('/')?..)?);
    path.parent()?.parent().map(Path::to_owned)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
    });
    written.map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::{Name, libtorch, suggestion};

    #[test]
    fn names_are_those_of_crates() {
        for good in ["gate", "my-gate", "my_gate2"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "My-Gate", "2gate", "a/b", "a b", "core", "kasmina_testkit", "größe", "-a"] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ["My Gate", "2gate", "größe", "-"].map(suggestion),
            ["my-gate", "my-2gate", "gr--e", "my-plugin"]
        );
    }

    #[test]
    fn the_libtorch_of_this_process_is_found() {
        // libtorch is linked only if it is used.
        let _ = tch::Tensor::from(1.0);
        assert!(libtorch().is_some_and(|folder| folder.join("lib/libtorch_cpu.so").is_file()));
    }
}
