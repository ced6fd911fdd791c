//! Writes the software bill of materials (SBOM) of a distribution, in CycloneDX format.

use crate::packages::Package;
use anyhow::{Context as _, Result};
use cyclonedx_bom::external_models::spdx::SpdxExpression;
use cyclonedx_bom::models::bom::Bom;
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::prelude::Purl;
use std::path::Path;

/// Writes a component for each crate and for libtorch.
pub(crate) fn write(packages: &[Package], torch_version: &str, to: &Path) -> Result<()> {
    let mut components: Vec<Component> = packages.iter().map(component).collect();
    let mut torch =
        Component::new(Classification::Library, "libtorch", torch_version, Some("libtorch".to_owned()));
    torch.licenses = Some(licences("BSD-3-Clause"));
    torch.purl = Purl::new("pypi", "torch", torch_version).ok();
    components.push(torch);
    let version = packages.iter().find(|p| p.name == "kasmina-cli").map_or("0", |p| p.version.as_str());
    let program = Component::new(Classification::Application, "kasmina", version, Some("kasmina".to_owned()));
    let bom = Bom {
        components: Some(Components(components)),
        metadata: Some(Metadata { component: Some(program), ..Metadata::default() }),
        // No serial number and no time stamp, so that the same input makes the same file.
        serial_number: None,
        ..Bom::default()
    };
    let mut text = Vec::new();
    bom.output_as_json_v1_5(&mut text).context("cannot serialize the SBOM")?;
    std::fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))
}

fn component(package: &Package) -> Component {
    let Package { name, version, licence, is_published, .. } = package;
    let of = format!("{name}@{version}");
    let mut component = Component::new(Classification::Library, name, version, Some(of));
    component.licenses = licence.as_deref().map(licences);
    if *is_published {
        component.purl = Purl::new("cargo", name, version).ok();
    }
    component
}

fn licences(expression: &str) -> Licenses {
    // Some manifests separate alternatives by a slash, the old syntax.
    let expression = expression.replace('/', " OR ");
    Licenses(vec![LicenseChoice::Expression(SpdxExpression::new(&expression))])
}
