//! Quotes paths in suggested commands, which the user may copy into a shell.

use std::path::Path;

/// Returns a path as one word of a POSIX shell, quoted if necessary.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    match shlex::try_quote(&text) {
        Ok(quoted) => quoted.into_owned(),
        // A path from the operating system has no NUL.
        Err(_) => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;
    use std::path::Path;

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(quoted(Path::new("plugins/libx.so")), "plugins/libx.so");
        assert_eq!(quoted(Path::new("a b/$(id).so")), "'a b/$(id).so'");
    }
}
