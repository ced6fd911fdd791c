//! Compares the records of a file with this program before the file is opened.

use crate::builtin;
use crate::error::{Refusal, Rule};
use crate::manifest::Manifest;
use kasmina_plugin_api::{ABI_VERSION, Kind, TARGET, TORCH_VERSION};

/// Checks every rule about the records. Returns the refusal of the first rule that the file breaks.
pub(crate) fn compatible(manifest: &Manifest) -> Result<(), Refusal> {
    let plugin = &manifest.plugin;
    let refuse =
        |rule, found: String, remedy: String| Refusal { path: manifest.path.clone(), rule, found, remedy };
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(&plugin.abi) != major(ABI_VERSION) {
        return Err(refuse(
            Rule::Abi,
            format!(
                "it was built for plugin API {}, this program has {ABI_VERSION}; the major versions must be \
                 the same",
                plugin.abi
            ),
            "build the plugin against the kasmina-plugin-api of this release".to_owned(),
        ));
    }
    check_host_range(&plugin.host).map_err(|found| {
        refuse(
            Rule::Host,
            found,
            "get a version of the plugin that supports this version of Kasmina".to_owned(),
        )
    })?;
    if plugin.target != TARGET {
        let found = format!("it was built for {}, this program for {TARGET}", plugin.target);
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
            format!("it was built against torch {}, this program runs torch {TORCH_VERSION}", plugin.torch),
            format!("build the plugin against torch {TORCH_VERSION} (tch {})", "0.24"),
        ));
    }
    check_names(manifest).map_err(|found| {
        refuse(Rule::Names, found, "choose other names and build the plugin again".to_owned())
    })
}

/// Refuses a plugin whose host range does not include this version of Kasmina.
fn check_host_range(wanted: &str) -> Result<(), String> {
    let own = env!("CARGO_PKG_VERSION");
    let requirement = semver::VersionReq::parse(wanted).map_err(|e| {
        format!("its range of Kasmina versions is `{wanted}`, which is not a version requirement ({e})")
    })?;
    let fits = semver::Version::parse(own).is_ok_and(|own| requirement.matches(&own));
    if fits { Ok(()) } else { Err(format!("it supports Kasmina {wanted}, this is {own}")) }
}

fn check_names(manifest: &Manifest) -> Result<(), String> {
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
