//! Resolves the links of a document and rewrites them for its HTML page.

/// Target of a link: a file or folder of the repository, and a heading in it.
#[derive(Debug, PartialEq)]
pub(super) struct Target {
    /// Path from the repository's root, with `/` between components.
    pub(super) path: String,
    /// Anchor of the heading, without `#`.
    pub(super) fragment: Option<String>,
}

/// Resolves a link of the document `from`. Returns `None` for a link to another site.
pub(super) fn target(from: &str, url: &str) -> Option<Target> {
    let (file, fragment) = match url.split_once('#') {
        Some((file, fragment)) => (file, Some(fragment.to_owned())),
        None => (url, None),
    };
    if file.split('/').next().is_some_and(|first| first.contains(':')) || file.starts_with("//") {
        return None;
    }
    if file.is_empty() {
        return Some(Target { path: from.to_owned(), fragment });
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = if file.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.retain(|part| !part.is_empty());
    Some(Target { path: parts.join("/").replace("%20", " "), fragment })
}

/// Path of the HTML file that is written for a document; other paths are returned unchanged.
pub(super) fn html_of(path: &str) -> String {
    match path.strip_suffix("README.md").filter(|folder| folder.is_empty() || folder.ends_with('/')) {
        Some(folder) => format!("{folder}index.html"),
        None => path.strip_suffix(".md").map_or_else(|| path.to_owned(), |path| format!("{path}.html")),
    }
}

/// Relative URL from the page of the document `from` to `target`. The page of a folder is its `index.html`.
pub(super) fn relative(from: &str, target: &Target, folder: bool) -> String {
    let file = if folder { format!("{}/index.html", target.path) } else { html_of(&target.path) };
    let up = "../".repeat(from.matches('/').count());
    let fragment = target.fragment.as_ref().map_or_else(String::new, |fragment| format!("#{fragment}"));
    // A target in or below the folder of the page needs no `../`.
    let shared = from.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
    match shared.and_then(|shared| file.strip_prefix(&shared).map(str::to_owned)) {
        Some(beside) => format!("{beside}{fragment}"),
        None => format!("{up}{file}{fragment}"),
    }
}

#[cfg(test)]
mod spec {
    use super::{Target, html_of, relative, target};

    #[test]
    fn links_are_resolved_from_their_document() {
        let path = |from, url| target(from, url).map(|t| (t.path, t.fragment));
        assert_eq!(path("docs/guide/a.md", "../b.md#c"), Some(("docs/b.md".into(), Some("c".into()))));
        assert_eq!(path("docs/guide/a.md", "#c"), Some(("docs/guide/a.md".into(), Some("c".into()))));
        assert_eq!(path("README.md", "docs/"), Some(("docs".into(), None)));
        assert_eq!(path("README.md", "https://example.org/#x"), None);
        assert_eq!(path("README.md", "mailto:a@example.org"), None);
    }

    #[test]
    fn html_files_and_relative_urls_are_named() {
        assert_eq!(
            ["README.md", "docs/README.md", "docs/a.md", "a.json"].map(html_of),
            ["index.html", "docs/index.html", "docs/a.html", "a.json"]
        );
        let to = |path: &str| Target { path: path.to_owned(), fragment: None };
        assert_eq!(relative("docs/guide/a.md", &to("docs/guide/b.md"), false), "b.html");
        assert_eq!(relative("docs/guide/a.md", &to("README.md"), false), "../../index.html");
        assert_eq!(relative("docs/README.md", &to("docs/guide/b.md"), false), "guide/b.html");
    }
}
