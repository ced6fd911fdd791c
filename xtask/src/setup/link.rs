//! `.torch/libtorch`: the link from a checkout to the libtorch in the shared cache.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::problem::Problem;

/// Makes `link` a symbolic link to `target`. A missing, broken or other link is replaced atomically, so that
/// a build that runs meanwhile finds either the old or the new one.
pub(super) fn point(link: &Path, target: &Path) -> Result<()> {
    match fs::read_link(link) {
        Ok(found) if found == target => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return Err(Problem::NotALink { path: link.to_owned() }.into()),
    }
    let replace = || -> io::Result<()> {
        let dir = link.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let staged =
            tempfile::Builder::new().prefix(".libtorch-").make_in(dir, |path| symlink(target, path))?;
        staged.into_temp_path().persist(link)?;
        Ok(())
    };
    replace().with_context(|| format!("cannot link {} to {}", link.display(), target.display()))
}

#[cfg(test)]
mod spec {
    use super::point;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn missing_broken_and_stale_links_are_replaced() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let link = root.path().join(".torch/libtorch");
        let target = root.path().join("cache");
        point(&link, &target)?;
        assert_eq!(fs::read_link(&link)?, target);
        for stale in [Path::new("/nowhere"), root.path()] {
            fs::remove_file(&link)?;
            symlink(stale, &link)?;
            point(&link, &target)?;
            assert_eq!(fs::read_link(&link)?, target);
        }
        assert_eq!(fs::read_dir(root.path().join(".torch"))?.count(), 1, "nothing is left beside the link");
        Ok(())
    }

    #[test]
    fn a_directory_in_its_place_is_left_alone() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let link = root.path().join("libtorch");
        fs::create_dir(&link)?;
        let Err(error) = point(&link, root.path()) else { anyhow::bail!("a directory was replaced") };
        assert!(error.to_string().contains("left alone"), "{error}");
        Ok(())
    }
}
