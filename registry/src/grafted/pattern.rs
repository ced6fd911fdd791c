//! Which submodules are meant by a path.

/// A dotted path in which `*` stands for any part of one name and `**` for any number of names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern<'t>(pub(super) &'t str);

impl Pattern<'_> {
    /// Whether it is the path of one submodule.
    pub(super) fn is_literal(self) -> bool {
        !self.0.contains('*')
    }

    /// Whether it means this one.
    pub(super) fn matches(self, path: &str) -> bool {
        let (wanted, names): (Vec<_>, Vec<_>) = (self.0.split('.').collect(), path.split('.').collect());
        names_match(&wanted, &names)
    }
}

fn names_match(wanted: &[&str], names: &[&str]) -> bool {
    match (wanted, names) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=names.len()).any(|skipped| names_match(rest, &names[skipped..])),
        ([one, wanted @ ..], [name, names @ ..]) => name_matches(one, name) && names_match(wanted, names),
        _ => false,
    }
}

fn name_matches(wanted: &str, name: &str) -> bool {
    match wanted.split_once('*') {
        None => wanted == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| name_matches(rest, &name[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_part_of_one_name_and_two_are_any_names() {
        let cases = [
            ("layer1", &["layer1"][..]),
            ("*", &["layer1", "layer2", "stem"]),
            ("layer*", &["layer1", "layer2"]),
            ("layer1.*", &["layer1.0", "layer1.1"]),
            ("**.conv", &["layer1.0.conv"]),
            ("**", &["layer1", "layer1.0", "layer1.0.conv", "layer1.1", "layer2", "stem"]),
            ("l*r*.0", &["layer1.0"]),
            ("layer", &[]),
        ];
        let paths = ["layer1", "layer1.0", "layer1.0.conv", "layer1.1", "layer2", "stem"];
        for (pattern, wanted) in cases {
            let found: Vec<_> = paths.into_iter().filter(|path| Pattern(pattern).matches(path)).collect();
            assert_eq!(found, wanted, "{pattern}");
        }
    }
}
