//! What the records must say for a file to be opened here.

use crate::builtin;
use crate::error::{Refusal, Rule};
use crate::manifest::Manifest;
use kasmina_plugin_api::{ABI_VERSION, Kind, TARGET, TORCH_VERSION};

/// All rules that need no opened library, in order; the first broken one refuses.
pub(crate) fn compatible(manifest: &Manifest) -> Result<(), Refusal> {
    let plugin = &manifest.plugin;
    let refuse =
        |rule, found: String, remedy: String| Refusal { path: manifest.path.clone(), rule, found, remedy };
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(&plugin.abi) != major(ABI_VERSION) {
        return Err(refuse(
            Rule::Abi,
            format!(
                "it speaks plugin API {}, this host {ABI_VERSION}; the first number must be the same",
                plugin.abi
            ),
            "build the plugin against the kasmina-plugin-api of this release".to_owned(),
        ));
    }
    hosts(&plugin.host).map_err(|found| {
        refuse(Rule::Host, found, "look for a version of the plugin that is made for this one".to_owned())
    })?;
    if plugin.target != TARGET {
        let found = format!("it was built for {}, this host is {TARGET}", plugin.target);
        return Err(refuse(Rule::Target, found, format!("build the plugin with `--target {TARGET}`")));
    }
    if plugin.panic != "unwind" {
        return Err(refuse(
            Rule::Panic,
            format!("it was built with panic = \"{}\": a panic in it would end the process", plugin.panic),
            "remove `panic = \"abort\"` from the plugin's cargo profile and build it again".to_owned(),
        ));
    }
    if plugin.torch != TORCH_VERSION {
        return Err(refuse(
            Rule::Torch,
            format!("it was built against torch {}, this host runs torch {TORCH_VERSION}", plugin.torch),
            format!("build the plugin against torch {TORCH_VERSION} (tch {})", "0.24"),
        ));
    }
    names(manifest).map_err(|found| {
        refuse(Rule::Names, found, "choose names of your own and build the plugin again".to_owned())
    })
}

/// Whether the plugin wants to run in this version.
fn hosts(wanted: &str) -> Result<(), String> {
    let own = env!("CARGO_PKG_VERSION");
    let requirement = semver::VersionReq::parse(wanted).map_err(|e| {
        format!("it says that it runs in Kasmina `{wanted}`, which is no version requirement ({e})")
    })?;
    let fits = semver::Version::parse(own).is_ok_and(|own| requirement.matches(&own));
    if fits { Ok(()) } else { Err(format!("it runs in Kasmina {wanted}, this is {own}")) }
}

fn names(manifest: &Manifest) -> Result<(), String> {
    let plugin = &manifest.plugin.name;
    if plugin == builtin::PLUGIN {
        return Err(format!("a plugin may not be called `{plugin}`: that is the namespace of the built-ins"));
    }
    for (i, entry) in manifest.entries.iter().enumerate() {
        let Some(kind) = Kind::parse(&entry.kind) else {
            return Err(format!("entry `{}` is of the unknown kind `{}`", entry.id, entry.kind));
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if entry.id.is_empty() || !entry.id.chars().all(plain) {
            return Err(format!("{kind} `{}` has an id that is not made of a-z, 0-9, _ and -", entry.id));
        }
        if builtin::is_reserved(kind, &entry.id) {
            return Err(format!("{kind} `{}` would shadow the built-in control of that name", entry.id));
        }
        let twin = manifest.entries[..i].iter().any(|e| e.kind == entry.kind && e.id == entry.id);
        if twin {
            return Err(format!("{kind} `{}` is registered twice", entry.id));
        }
    }
    Ok(())
}
