//! Rules for `Cargo.toml`: every package inherits its lints and its licence from the workspace.

use super::finding::Finding;

/// Package with its own list of lints instead of the workspace's: some lints are off in tests.
const OWN_LINTS: &str = "tests/Cargo.toml";

/// Checks the manifest at `path`. `workspace` is the text of the workspace's manifest.
pub(super) fn findings(path: &str, source: &str, workspace: &str) -> Vec<Finding> {
    let finding = |line, what: String, why| Finding { path: path.to_owned(), line, what, why };
    // Fixtures are separate crates that break rules on purpose.
    if path.starts_with("tests/fixtures/") {
        return Vec::new();
    }
    let manifest = match source.parse::<toml::Table>() {
        Ok(manifest) => manifest,
        Err(error) => {
            let before = error.span().map_or("", |span| source.get(..span.start).unwrap_or_default());
            let what = error.message().to_owned();
            return vec![finding(
                before.lines().count().max(1),
                what,
                "the manifest cannot be parsed as TOML",
            )];
        }
    };
    // A package that is a workspace by itself has no workspace to inherit from.
    if manifest.contains_key("package") && manifest.contains_key("workspace") {
        return Vec::new();
    }
    let inherits = |table: Option<&toml::Value>| {
        table.and_then(|table| table.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
    };
    let mut findings = Vec::new();
    if path == OWN_LINTS {
        findings.extend(missing_lints(&manifest, workspace).into_iter().map(|lint| {
            finding(1, format!("no lint `{lint}`"), "set every lint of the workspace, to a level of your own")
        }));
    } else if !inherits(manifest.get("lints")) {
        findings.push(finding(1, "no `[lints] workspace = true`".into(), "every crate has the same lints"));
    }
    if !inherits(manifest.get("package").and_then(|package| package.get("license"))) {
        findings.push(finding(1, "no `license.workspace = true`".into(), "every crate has the same licence"));
    }
    findings
}

/// Lints of the workspace that are missing from a package's own list.
fn missing_lints(manifest: &toml::Table, workspace: &str) -> Vec<String> {
    let workspace = workspace.parse::<toml::Table>().unwrap_or_default();
    let of = |table: Option<&toml::Value>, tool: &str| -> Vec<String> {
        let lints = table.and_then(|table| table.get("lints")).and_then(|lints| lints.get(tool));
        lints.and_then(toml::Value::as_table).map(|lints| lints.keys().cloned().collect()).unwrap_or_default()
    };
    let own = toml::Value::Table(manifest.clone());
    let missing = ["rust", "clippy"].map(|tool| {
        let named = of(Some(&own), tool);
        of(workspace.get("workspace"), tool).into_iter().filter(move |lint| !named.contains(lint))
    });
    missing.into_iter().flatten().collect()
}

#[cfg(test)]
mod spec {
    use super::OWN_LINTS;

    fn findings(path: &str, source: &str) -> Vec<super::Finding> {
        super::findings(path, source, "[workspace.lints.rust]\nmissing_docs = \"warn\"\n")
    }

    const GOOD: &str = "[package]\nname = \"a\"\nlicense.workspace = true\n[lints]\nworkspace = true\n";

    #[test]
    fn lints_and_licence_come_from_the_workspace() {
        assert!(findings("a/Cargo.toml", GOOD).is_empty());
        assert_eq!(findings("a/Cargo.toml", &GOOD.replace("workspace = true", "workspace = false")).len(), 2);
        assert_eq!(findings("a/Cargo.toml", "[package]\nlicense = \"MIT\"\n").len(), 2);
        assert!(findings("a/Cargo.toml", "[package]\nlicense = \"MIT\"\n[workspace]\n").is_empty());
        assert!(findings("tests/fixtures/a/Cargo.toml", "[package]\n").is_empty());
    }

    #[test]
    fn an_own_list_without_a_lint_of_the_workspace_is_found() {
        let own = "[package]\nlicense.workspace = true\n[lints.rust]\n";
        assert_eq!(findings(OWN_LINTS, own).len(), 1);
        assert!(findings(OWN_LINTS, &format!("{own}missing_docs = \"allow\"\n")).is_empty());
    }

    #[test]
    fn a_broken_manifest_is_found_where_it_breaks() {
        let found = findings("a/Cargo.toml", "[package]\nname = \n");
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
    }
}
