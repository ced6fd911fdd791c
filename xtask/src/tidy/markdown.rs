//! Rule for Markdown: the file that a relative link names exists.

use std::path::Path;

use pulldown_cmark::{Event, Parser, Tag};

use super::finding::Finding;

pub(super) fn findings(root: &Path, path: &str, source: &str) -> Vec<Finding> {
    let dead = |(event, range): (Event<'_>, std::ops::Range<usize>)| {
        let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else {
            return None;
        };
        let target = target(&dest_url)?;
        let file = match target.strip_prefix('/') {
            Some(from_root) => root.join(from_root),
            None => root.join(path).parent()?.join(&target),
        };
        (!file.exists()).then(|| Finding {
            path: path.to_owned(),
            line: source[..range.start].matches('\n').count() + 1,
            what: format!("link to `{dest_url}`"),
            why: "there is no such file",
        })
    };
    Parser::new(source).into_offset_iter().filter_map(dead).collect()
}

/// Path that a link names. Returns `None` for a link to another site or within the same page.
fn target(url: &str) -> Option<String> {
    let file = url.split(['#', '?']).next().filter(|file| !file.is_empty())?;
    let scheme = file.split_once(':').is_some_and(|(scheme, _)| !scheme.contains('/'));
    (!scheme && !file.starts_with("//")).then(|| file.replace("%20", " "))
}

#[cfg(test)]
mod spec {
    use super::findings;
    use std::fs;

    #[test]
    fn only_dead_relative_links_are_found() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        fs::create_dir(root.path().join("docs"))?;
        fs::write(root.path().join("README.md"), "")?;
        fs::write(root.path().join("docs/a b.md"), "")?;
        let source = "[up](../README.md) [root](/README.md#there) [space](a%20b.md) [here](#x)\n\
            [site](https://example.org/x) [mail](mailto:a@example.org) `[code](gone.md)`\n\n\
            ```\n[block](gone.md)\n```\n\n[dead](gone.md#part)\n![image](gone.png) [by name]\n\n\
            [by name]: gone.txt\n";
        let found: Vec<String> =
            findings(root.path(), "docs/guide.md", source).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "docs/guide.md:8: link to `gone.md#part` — there is no such file",
                "docs/guide.md:9: link to `gone.png` — there is no such file",
                "docs/guide.md:9: link to `gone.txt` — there is no such file",
            ]
        );
        Ok(())
    }
}
