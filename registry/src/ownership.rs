//! Checks who can change a file, by the owners and modes of the file and of every folder and link in its
//! path.
//!
//! A user who can write a file, or replace it in one of the folders above it, can run code in every process
//! that loads it. So every part of its path must belong to the user or to root, and nobody else may write it.
//! Two common cases are safe and pass: a sticky folder such as `/tmp`, where nobody can replace another
//! user's file, and a file that the user's own group can write, if that group has no other member.

use crate::error::{Refusal, Rule};
use crate::groups::private_group;
use crate::quote::quoted;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// Largest number of symbolic links in one path, as in the kernel.
const MOST_LINKS: u32 = 40;
const ROOT: u32 = 0;

/// Why other users can change a file: a part of its path, and how they can change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exposed {
    /// The part of the path that somebody else can change.
    place: PathBuf,
    how: Exposure,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Exposure {
    /// Every user may write it.
    Everybody,
    /// The members of a group may write it.
    Group(u32),
    /// An access control list lets others write it.
    AccessList,
    /// It belongs to another user.
    Owner(u32),
    /// The owner or mode could not be read.
    Unknown(String),
}

/// The users and the group that may write a trusted file.
#[derive(Debug, Clone)]
pub(crate) struct Owners {
    /// Users whose files count as the user's own.
    users: Vec<u32>,
    /// The user's primary group, if it has no other member.
    group: Option<u32>,
}

impl Owners {
    /// Returns the user of this process, and root.
    pub(crate) fn user() -> Self {
        let user = rustix::process::geteuid().as_raw();
        Self { users: vec![user, ROOT], group: private_group(user) }
    }

    /// Returns the owners that are accepted for the program's own plugins: the user, root, and the owner of
    /// the executable, who could replace the whole program.
    pub(crate) fn of_program() -> Self {
        let mut owners = Self::user();
        owners.users.extend(std::fs::metadata("/proc/self/exe").map(|m| m.uid()).ok());
        owners
    }

    /// Adds a user, if there is one.
    pub(crate) fn with_user(mut self, user: Option<u32>) -> Self {
        self.users.extend(user);
        self
    }

    /// Checks that only these owners can change a file or a folder. Another owner is reported only if no part
    /// of the path is writable by others.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Exposed> {
        let unknown = |place: &Path, error: std::io::Error| Exposed {
            place: place.to_owned(),
            how: Exposure::Unknown(error.to_string()),
        };
        let absolute = std::path::absolute(path).map_err(|e| unknown(path, e))?;
        let mut left: VecDeque<OsString> = parts(&absolute);
        let mut foreign = None;
        let mut at = PathBuf::from("/");
        let mut links = 0;
        let root = std::fs::symlink_metadata(&at).map_err(|e| unknown(&at, e))?;
        defer_foreign(self.check_one(&at, &root, true), &mut foreign)?;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            let metadata = std::fs::symlink_metadata(&at).map_err(|e| unknown(&at, e))?;
            if !metadata.is_symlink() {
                defer_foreign(self.check_one(&at, &metadata, !left.is_empty()), &mut foreign)?;
                continue;
            }
            // The mode of a link has no meaning, but its owner can change its target.
            defer_foreign(self.check_owner(&at, &metadata), &mut foreign)?;
            links += 1;
            if links > MOST_LINKS {
                return Err(unknown(&at, std::io::Error::other("too many levels of symbolic links")));
            }
            let target = std::fs::read_link(&at).map_err(|e| unknown(&at, e))?;
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for part in parts(&target).into_iter().rev() {
                left.push_front(part);
            }
        }
        foreign.map_or(Ok(()), Err)
    }

    /// Checks that only these owners can add files to a folder. Unlike in [`check`](Self::check), a sticky
    /// folder is refused if others can write it.
    pub(crate) fn check_folder(&self, path: &Path) -> Result<(), Exposed> {
        self.check(path)?;
        let metadata = std::fs::metadata(path)
            .map_err(|e| Exposed { place: path.to_owned(), how: Exposure::Unknown(e.to_string()) })?;
        self.check_one(path, &metadata, false)
    }

    fn check_owner(&self, place: &Path, metadata: &Metadata) -> Result<(), Exposed> {
        if self.users.contains(&metadata.uid()) {
            return Ok(());
        }
        Err(Exposed { place: place.to_owned(), how: Exposure::Owner(metadata.uid()) })
    }

    /// Checks one part of a path. `passed` is true for a folder above the last part of the path.
    fn check_one(&self, place: &Path, metadata: &Metadata, passed: bool) -> Result<(), Exposed> {
        let mode = metadata.mode();
        let exposed = |how| Err(Exposed { place: place.to_owned(), how });
        let owner = self.check_owner(place, metadata);
        if passed && mode & STICKY != 0 {
            return owner;
        }
        if mode & OTHERS_WRITE != 0 {
            return exposed(Exposure::Everybody);
        }
        if mode & GROUP_WRITES != 0 {
            // If there is an access control list, the group bits are its mask: the most that it grants
            // anybody but the owner.
            if has_access_list(place) {
                return exposed(Exposure::AccessList);
            }
            if self.group != Some(metadata.gid()) {
                return exposed(Exposure::Group(metadata.gid()));
            }
        }
        owner
    }
}

/// Stores the first foreign owner in `foreign`, because a later part of the path may have a worse problem.
/// Returns any other problem at once.
fn defer_foreign(checked: Result<(), Exposed>, foreign: &mut Option<Exposed>) -> Result<(), Exposed> {
    match checked {
        Err(exposed) if exposed.is_foreign() => {
            foreign.get_or_insert(exposed);
            Ok(())
        }
        other => other,
    }
}

fn has_access_list(place: &Path) -> bool {
    let mut nothing = [0; 1];
    let list = rustix::fs::getxattr(place, c"system.posix_acl_access", &mut nothing);
    !matches!(list, Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS))
}

/// Returns the components of a path, without the root and without `.`.
fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

impl Exposed {
    /// Whether the only problem is that another user owns a part of the path.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.how, Exposure::Owner(_))
    }

    /// Returns a description of what was found.
    pub(crate) fn found(&self) -> String {
        let place = self.place.display();
        match &self.how {
            Exposure::Everybody => format!("everybody may write {place}"),
            Exposure::Group(group) => format!("the members of group {group} may write {place}"),
            Exposure::AccessList => format!("an access control list lets others write {place}"),
            Exposure::Owner(user) => format!("{place} belongs to another user (id {user})"),
            Exposure::Unknown(error) => format!("cannot find out who may write {place}: {error}"),
        }
    }

    /// Returns the remedy for a plugin's file. A file of another user can be pinned.
    pub(crate) fn remedy(&self, file: &Path) -> String {
        if self.is_foreign() {
            return format!(
                "if you trust this file, pin its bytes: `kasmina plugins lock {}`; or copy it to your own folder",
                quoted(file)
            );
        }
        self.remedy_of_own_file()
    }

    /// Returns the remedy for a file that must belong to the user.
    pub(crate) fn remedy_of_own_file(&self) -> String {
        let place = quoted(&self.place);
        match &self.how {
            Exposure::Everybody => format!("remove the write permission: chmod o-w {place}"),
            Exposure::Group(_) => format!("remove the write permission: chmod g-w {place}"),
            Exposure::AccessList => format!("remove the list: setfacl -b {place}"),
            Exposure::Owner(_) => format!("change the owner of {place} to your user, or remove it"),
            Exposure::Unknown(_) => "check the path and that you may read it".to_owned(),
        }
    }

    /// Returns the refusal of a file for this reason.
    pub(crate) fn refusal(&self, file: &Path) -> Refusal {
        Refusal {
            path: file.to_owned(),
            rule: Rule::Permissions,
            found: self.found(),
            remedy: self.remedy(file),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Creates `folder/inner/file`, which belong to the user.
    fn tree() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let file = inner.join("file");
        std::fs::write(&file, "").unwrap();
        chmod(&inner, 0o755);
        chmod(&file, 0o644);
        (folder, inner, file)
    }

    #[test]
    fn a_file_below_a_sticky_folder_is_the_users_own() {
        let (_folder, inner, file) = tree();
        assert_eq!(Owners::user().check(&file), Ok(()));
        chmod(&inner, 0o1777);
        assert_eq!(Owners::user().check(&file), Ok(()));
        assert!(Owners::user().check_folder(&inner).is_err(), "anybody may add a file");
    }

    #[test]
    fn any_part_of_the_path_that_others_may_write_is_named() {
        let (folder, inner, file) = tree();
        let no_group = Owners { group: None, ..Owners::user() };
        for (place, mode) in [(&file, 0o646), (&inner, 0o757), (&file, 0o664), (&inner, 0o775)] {
            chmod(place, mode);
            let exposed = no_group.check(&file).unwrap_err();
            assert_eq!(exposed.place, *place);
            assert!(!exposed.is_foreign());
            chmod(place, 0o700);
        }
        let link = folder.path().join("link");
        symlink("inner/../inner/file", &link).unwrap();
        assert_eq!(no_group.check(&link), Ok(()));
        chmod(&inner, 0o777);
        assert_eq!(no_group.check(&link).unwrap_err().place, inner, "the folder behind the link");
    }

    /// docs/security.md: 11
    #[test]
    fn a_group_without_other_members_may_write() {
        let (_folder, inner, file) = tree();
        let group = std::fs::metadata(&file).unwrap().gid();
        let private = Owners { group: Some(group), ..Owners::user() };
        chmod(&inner, 0o775);
        chmod(&file, 0o664);
        assert_eq!(private.check(&file), Ok(()));
    }

    #[test]
    fn a_file_of_another_owner_is_foreign() {
        let (_folder, _inner, file) = tree();
        let stranger = Owners { users: vec![ROOT.wrapping_sub(2)], group: None };
        assert!(stranger.check(&file).unwrap_err().is_foreign());
    }

    #[test]
    fn a_cycle_of_links_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert!(Owners::user().check(&a).unwrap_err().found().contains("symbolic links"));
    }
}
