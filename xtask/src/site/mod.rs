//! `cargo xtask site`: writes the documents as plain HTML and checks every link.
//!
//! The pages are the documents under `docs/` and those in [`BESIDE`]. `a.md` becomes `a.html`, and
//! `README.md` becomes the `index.html` of its folder. Other files that a page links to are copied, and
//! linked folders get a list of their files, so that the site is complete by itself.

mod links;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::repo::Repo;
use links::{Target, html_of};
use page::Page;

/// First pages of the navigation. The other pages follow in the order in which these link to them.
const FIRST: [&str; 3] = ["README.md", "docs/README.md", "docs/guide/README.md"];
/// Documents outside `docs/` that become pages.
const BESIDE: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// Writes the site and prints each broken link; fails if there is one.
pub(crate) fn run(repo: &Repo) -> Result<ExitCode> {
    let (out, broken) = write(repo)?;
    for link in &broken {
        println!("{link}");
    }
    println!("{}", out.join("index.html").display());
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the site. Returns its folder and a message for each broken link.
pub(crate) fn write(repo: &Repo) -> Result<(PathBuf, Vec<String>)> {
    let out = repo.target()?.join("site");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot clear {}", out.display()))?;
    }
    let files: BTreeSet<String> = repo.files()?.into_iter().collect();
    let broken = Site::read(repo.root(), files)?.write(repo.root(), &out)?;
    Ok((out, broken))
}

struct Site {
    /// Paths of all files of the repository.
    files: BTreeSet<String>,
    /// The pages, in the order of the navigation.
    pages: Vec<Page>,
}

impl Site {
    fn read(root: &Path, files: BTreeSet<String>) -> Result<Self> {
        let is_page = |path: &&String| {
            Path::new(path).extension().is_some_and(|e| e == "md")
                && (path.starts_with("docs/") || BESIDE.contains(&path.as_str()))
        };
        let mut sources = BTreeMap::new();
        for path in files.iter().filter(is_page) {
            let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
            sources.insert(path.clone(), Page::new(path, text));
        }
        let linked = FIRST.iter().filter_map(|first| sources.get(*first)).flat_map(|page| {
            let targets = page.links().into_iter().filter_map(|url| links::target(&page.path, &url));
            targets.map(|target| target.path)
        });
        let order: Vec<String> = FIRST
            .iter()
            .map(|&first| first.to_owned())
            .chain(linked)
            .chain(sources.keys().cloned())
            .collect();
        let pages = order.iter().filter_map(|path| sources.remove(path)).collect();
        Ok(Self { files, pages })
    }

    fn write(&self, root: &Path, out: &Path) -> Result<Vec<String>> {
        let mut broken = Vec::new();
        let mut copied = BTreeSet::new();
        for page in &self.pages {
            let html = page.html(&self.navigation(page), &mut |url| {
                let Some(target) = links::target(&page.path, url) else { return url.to_owned() };
                if let Err(why) = self.check(&target) {
                    broken.push(format!("{}: link to `{url}`: {why}", page.path));
                }
                if !self.is_page(&target.path) {
                    copied.insert(target.path.clone());
                }
                links::relative(&page.path, &target, self.is_folder(&target.path))
            });
            put(&out.join(html_of(&page.path)), html.as_bytes())?;
        }
        for path in &copied {
            self.copy(root, out, path)?;
        }
        Ok(broken)
    }

    /// Checks that the target of a link exists; the error says what is missing.
    fn check(&self, target: &Target) -> Result<(), &'static str> {
        let Some(page) = self.pages.iter().find(|page| page.path == target.path) else {
            let exists = self.files.contains(&target.path) || self.is_folder(&target.path);
            return if exists { Ok(()) } else { Err("there is no such file") };
        };
        match &target.fragment {
            Some(fragment) if !page.anchors().contains(fragment) => Err("there is no such heading"),
            _ => Ok(()),
        }
    }

    fn is_page(&self, path: &str) -> bool {
        self.pages.iter().any(|page| page.path == path)
    }

    fn is_folder(&self, path: &str) -> bool {
        self.files_in(path).next().is_some()
    }

    /// Paths of all files in a folder and its subfolders.
    fn files_in<'s>(&'s self, folder: &str) -> impl Iterator<Item = &'s String> + use<'s> {
        let folder = format!("{}/", folder.trim_end_matches('/'));
        self.files.iter().filter(move |file| file.starts_with(&folder))
    }

    /// Copies a linked file, or a folder's files together with a page that lists them.
    fn copy(&self, root: &Path, out: &Path, path: &str) -> Result<()> {
        if !self.is_folder(path) {
            // A file that cannot be read was already reported as a broken link.
            let Ok(bytes) = fs::read(root.join(path)) else { return Ok(()) };
            return put(&out.join(path), &bytes);
        }
        let mut items = String::new();
        for file in self.files_in(path) {
            let name = file.strip_prefix(path).unwrap_or(file).trim_start_matches('/');
            let _ = writeln!(items, "<li><a href=\"{0}\">{0}</a></li>", page::escaped(name));
            put(&out.join(file), &fs::read(root.join(file)).with_context(|| format!("cannot read {file}"))?)?;
        }
        let up = "../".repeat(path.split('/').count());
        let list = format!("<h1>{}</h1>\n<ul>\n{items}</ul>", page::escaped(path));
        let html =
            page::document(path, &format!("<ul><li><a href=\"{up}index.html\">Kasmina</a></li></ul>"), &list);
        put(&out.join(path).join("index.html"), html.as_bytes())
    }

    /// HTML list of links from the page `from` to all pages.
    fn navigation(&self, from: &Page) -> String {
        let mut items = String::new();
        for page in &self.pages {
            let target = Target { path: page.path.clone(), fragment: None };
            let here = if page.path == from.path { " class=\"here\"" } else { "" };
            let url = links::relative(&from.path, &target, false);
            let _ = writeln!(items, "<li{here}><a href=\"{url}\">{}</a></li>", page::escaped(&page.title()));
        }
        format!("<ul>\n{items}</ul>")
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, bytes));
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod spec {
    use super::Site;
    use std::fs;

    #[test]
    fn links_are_rewritten_and_broken_ones_reported() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let out = root.path().join("out");
        for (path, text) in [
            ("README.md", "# Start\n[docs](docs/README.md) [gone](gone.md) [site](https://example.org/a.md)"),
            (
                "docs/README.md",
                "# Docs\n[there](guide/a.md#the-first-part) [up](../README.md) [no](guide/a.md#x)",
            ),
            ("docs/guide/a.md", "# A\n## The `first` part\n[data](../../data/x.json) [all](../../data)"),
            ("data/x.json", "{}"),
        ] {
            super::put(&root.path().join(path), text.as_bytes())?;
        }
        let files = ["README.md", "docs/README.md", "docs/guide/a.md", "data/x.json"].map(str::to_owned);
        let broken = Site::read(root.path(), files.into())?.write(root.path(), &out)?;
        assert_eq!(
            broken,
            [
                "README.md: link to `gone.md`: there is no such file",
                "docs/README.md: link to `guide/a.md#x`: there is no such heading",
            ]
        );
        let page = fs::read_to_string(out.join("docs/index.html"))?;
        for part in ["href=\"guide/a.html#the-first-part\"", "href=\"../index.html\"", "<title>Docs</title>"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        let page = fs::read_to_string(out.join("docs/guide/a.html"))?;
        for part in ["id=\"the-first-part\"", "href=\"../../data/x.json\"", "href=\"../../data/index.html\""]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(out.join("data/x.json").is_file() && out.join("data/index.html").is_file());
        Ok(())
    }
}
