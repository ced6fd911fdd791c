//! Where a link of a document leads, and how it is written on its page.

/// A place in the repository.
#[derive(Debug, PartialEq)]
pub(super) struct Target {
    /// From the root, with `/` between components.
    pub(super) path: String,
    /// Heading in the document, as links name it.
    pub(super) fragment: Option<String>,
}

/// What a link of a document means, unless it leads to another site.
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

/// The file that a document becomes.
pub(super) fn html_of(path: &str) -> String {
    match path.strip_suffix("README.md").filter(|folder| folder.is_empty() || folder.ends_with('/')) {
        Some(folder) => format!("{folder}index.html"),
        None => path.strip_suffix(".md").map_or_else(|| path.to_owned(), |path| format!("{path}.html")),
    }
}

/// A link from the page of one document to a place.
pub(super) fn relative(from: &str, target: &Target, folder: bool) -> String {
    let file = if folder { format!("{}/index.html", target.path) } else { html_of(&target.path) };
    let up = "../".repeat(from.matches('/').count());
    let fragment = target.fragment.as_ref().map_or_else(String::new, |fragment| format!("#{fragment}"));
    // Within a folder both sides begin alike.
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
    fn a_link_is_seen_from_its_page() {
        let path = |from, url| target(from, url).map(|t| (t.path, t.fragment));
        assert_eq!(path("docs/guide/a.md", "../b.md#c"), Some(("docs/b.md".into(), Some("c".into()))));
        assert_eq!(path("docs/guide/a.md", "#c"), Some(("docs/guide/a.md".into(), Some("c".into()))));
        assert_eq!(path("README.md", "docs/"), Some(("docs".into(), None)));
        assert_eq!(path("README.md", "https://example.org/#x"), None);
        assert_eq!(path("README.md", "mailto:a@example.org"), None);
    }

    #[test]
    fn pages_have_names_of_their_own() {
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
