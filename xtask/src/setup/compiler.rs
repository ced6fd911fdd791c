//! Finds the C++ compiler that the torch bindings need, before anything is fetched or built.

use std::env;
use std::ffi::OsStr;
use std::path::Path;

use super::Problem;
use crate::process::on_path;

/// Compiler that build scripts call unless CXX is set.
const DEFAULT: &str = "c++";
/// Compilers to use if the default one is missing.
const OTHERS: [&str; 2] = ["g++", "clang++"];

/// Finds a compiler. Returns the value for CXX, or `None` if CXX need not be changed.
pub(super) fn find() -> Result<Option<&'static str>, Problem> {
    choose(env::var_os("CXX").as_deref(), |name| on_path(Path::new(name)).is_some())
}

fn choose(cxx: Option<&OsStr>, installed: impl Fn(&str) -> bool) -> Result<Option<&'static str>, Problem> {
    if let Some(cxx) = cxx.map(OsStr::to_string_lossy).filter(|cxx| !cxx.trim().is_empty()) {
        // CXX may contain a wrapper and flags: `ccache g++ -m64`.
        let program = cxx.split_whitespace().next().unwrap_or_default();
        let exists = installed(&cxx) || installed(program);
        return if exists { Ok(None) } else { Err(Problem::NoSuchCxx { cxx: cxx.into_owned() }) };
    }
    if installed(DEFAULT) {
        return Ok(None);
    }
    OTHERS.into_iter().find(|name| installed(name)).map(Some).ok_or(Problem::NoCompiler)
}

#[cfg(test)]
mod spec {
    use super::{Problem, choose};
    use std::ffi::OsStr;

    #[test]
    fn the_default_compiler_needs_no_variable() {
        assert!(matches!(choose(None, |name| name == "c++"), Ok(None)));
    }

    #[test]
    fn another_compiler_is_returned_for_cxx() {
        assert!(matches!(choose(None, |name| name == "clang++"), Ok(Some("clang++"))));
    }

    #[test]
    fn the_users_cxx_wins_with_wrapper_and_flags() {
        let cxx = Some(OsStr::new("ccache g++ -m64"));
        assert!(matches!(choose(cxx, |name| name == "ccache"), Ok(None)));
        assert!(matches!(choose(cxx, |name| name == "c++"), Err(Problem::NoSuchCxx { .. })));
    }

    #[test]
    fn without_a_compiler_the_message_says_how_to_install_one() {
        let Err(problem) = choose(None, |_| false) else { panic!("must fail") };
        assert!(problem.to_string().contains("apt-get install g++"));
    }
}
