//! Converts one Markdown document to an HTML page.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd, html};

const STYLE: &str = "body{display:flex;gap:3rem;max-width:72rem;margin:2rem auto;padding:0 1rem;\
    font:16px/1.5 system-ui,sans-serif;color:#222}nav{flex:0 0 14rem;font-size:.9rem}nav ul{list-style:none;padding:0}\
    nav .here{font-weight:bold}main{min-width:0}pre{background:#f5f5f5;padding:.8rem;overflow-x:auto}\
    code{font-size:.9em}table{border-collapse:collapse;display:block;overflow-x:auto}\
    td,th{border:1px solid #ddd;padding:.3rem .6rem;text-align:left;vertical-align:top}a{color:#0550ae}";

/// A document of the site.
pub(super) struct Page {
    /// Path of the Markdown file from the repository's root.
    pub(super) path: String,
    text: String,
}

impl Page {
    pub(super) fn new(path: &str, text: String) -> Self {
        Self { path: path.to_owned(), text }
    }

    fn events(&self) -> Parser<'_> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES)
    }

    /// Text of the first heading, or the path if there is no heading.
    pub(super) fn title(&self) -> String {
        self.headings().into_iter().next().unwrap_or_else(|| self.path.clone())
    }

    fn headings(&self) -> Vec<String> {
        let (mut all, mut open) = (Vec::new(), None::<String>);
        for event in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => open = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => all.extend(open.take()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(open) = &mut open {
                        open.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// Anchors of the headings, in their order, as GitHub generates them.
    fn slugs(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let named = self.headings().into_iter().map(|heading| {
            let slug: String = heading
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let before = seen.entry(slug.clone()).or_default();
            *before += 1;
            if *before == 1 { slug } else { format!("{slug}-{}", *before - 1) }
        });
        named.collect()
    }

    /// Anchors that a link may name after `#`.
    pub(super) fn anchors(&self) -> BTreeSet<String> {
        self.slugs().into_iter().collect()
    }

    /// URLs of the links in the document, unchanged.
    pub(super) fn links(&self) -> Vec<String> {
        let url = |event| match event {
            Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.to_string()),
            _ => None,
        };
        self.events().filter_map(url).collect()
    }

    /// HTML of the page. `follow` maps the URL of each link and image to the one to write.
    pub(super) fn html(&self, navigation: &str, follow: &mut dyn FnMut(&str) -> String) -> String {
        let mut slugs = self.slugs().into_iter();
        let mut rust = false;
        let events = self.events().map(|event| match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                rust = &*language == "rust";
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language)))
            }
            Event::End(TagEnd::CodeBlock) => {
                rust = false;
                Event::End(TagEnd::CodeBlock)
            }
            // Hidden lines of doctests are left out, as in rustdoc.
            Event::Text(text) if rust => {
                let shown = |line: &&str| !line.starts_with("# ");
                Event::Text(text.split_inclusive('\n').filter(shown).collect::<String>().into())
            }
            Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                Event::Start(Tag::Heading { level, id: slugs.next().map(CowStr::from), classes, attrs })
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                Event::Start(Tag::Link { link_type, dest_url: follow(&dest_url).into(), title, id })
            }
            Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
                Event::Start(Tag::Image { link_type, dest_url: follow(&dest_url).into(), title, id })
            }
            other => other,
        });
        let mut body = String::new();
        html::push_html(&mut body, events);
        document(&self.title(), navigation, &body)
    }
}

/// HTML document with a title, a navigation and a body.
pub(super) fn document(title: &str, navigation: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <body>\n<nav>\n{navigation}\n</nav>\n<main>\n{body}\n</main>\n</body>\n</html>\n",
        escaped(title)
    )
}

/// `text` with the special characters of HTML escaped.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
