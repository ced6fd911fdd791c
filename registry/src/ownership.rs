//! Who can change a file: its owner, its mode, and every folder and link on the way to it.
//!
//! Whoever can write a file, or exchange it in one of the folders above it, runs code in every process that
//! loads it. So every part of its path must belong to the user or to root and be writable by nobody else. Two
//! cases that many systems are set up with are no danger and pass: a sticky folder such as `/tmp`, where
//! nobody can exchange what belongs to another user, and a file that only the user's own group can write, if
//! nobody else is in that group.

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
/// As many links as the kernel follows on one path.
const MOST_LINKS: u32 = 40;
const ROOT: u32 = 0;

/// Why a path is not the user's alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exposed {
    /// The part of the path that somebody else can change.
    place: PathBuf,
    how: How,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum How {
    /// Every user may write it.
    Everybody,
    /// The members of a group may write it.
    Group(u32),
    /// An access control list lets others write it.
    AccessList,
    /// It belongs to another user.
    Owner(u32),
    /// It could not be looked at.
    Unknown(String),
}

/// The users and the group that may be able to write a trusted file.
#[derive(Debug, Clone)]
pub(crate) struct Owners {
    /// Users whose files count as the user's own.
    users: Vec<u32>,
    /// The group that has no other member than the user.
    group: Option<u32>,
}

impl Owners {
    /// The user of this process, and root.
    pub(crate) fn user() -> Self {
        let user = rustix::process::geteuid().as_raw();
        Self { users: vec![user, ROOT], group: private_group(user) }
    }

    /// Those who count for what belongs to this program: also the owner of its executable, who could exchange
    /// the whole program.
    pub(crate) fn of_program() -> Self {
        let mut owners = Self::user();
        owners.users.extend(std::fs::metadata("/proc/self/exe").map(|m| m.uid()).ok());
        owners
    }

    /// One more user, if there is one.
    pub(crate) fn and(mut self, user: Option<u32>) -> Self {
        self.users.extend(user);
        self
    }

    /// Whether nobody else can change a file or a folder.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Exposed> {
        let unknown = |place: &Path, error: std::io::Error| Exposed {
            place: place.to_owned(),
            how: How::Unknown(error.to_string()),
        };
        let absolute = std::path::absolute(path).map_err(|e| unknown(path, e))?;
        let mut left: VecDeque<OsString> = parts(&absolute);
        // Reported only if no part of the path is writable by others.
        let mut foreign = None;
        let mut at = PathBuf::from("/");
        let mut links = 0;
        let root = std::fs::symlink_metadata(&at).map_err(|e| unknown(&at, e))?;
        worse(self.check_one(&at, &root, true), &mut foreign)?;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            let metadata = std::fs::symlink_metadata(&at).map_err(|e| unknown(&at, e))?;
            if !metadata.is_symlink() {
                worse(self.check_one(&at, &metadata, !left.is_empty()), &mut foreign)?;
                continue;
            }
            // The mode of a link says nothing; who owns it decides where it leads.
            worse(self.check_owner(&at, &metadata), &mut foreign)?;
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

    /// Whether nobody else can put files into a folder: being sticky does not help here.
    pub(crate) fn check_folder(&self, path: &Path) -> Result<(), Exposed> {
        self.check(path)?;
        let metadata = std::fs::metadata(path)
            .map_err(|e| Exposed { place: path.to_owned(), how: How::Unknown(e.to_string()) })?;
        self.check_one(path, &metadata, false)
    }

    fn check_owner(&self, place: &Path, metadata: &Metadata) -> Result<(), Exposed> {
        if self.users.contains(&metadata.uid()) {
            return Ok(());
        }
        Err(Exposed { place: place.to_owned(), how: How::Owner(metadata.uid()) })
    }

    /// `passed` says that the path leads on from this folder to something that belongs to the user.
    fn check_one(&self, place: &Path, metadata: &Metadata, passed: bool) -> Result<(), Exposed> {
        let mode = metadata.mode();
        let exposed = |how| Err(Exposed { place: place.to_owned(), how });
        let owner = self.check_owner(place, metadata);
        if passed && mode & STICKY != 0 {
            return owner;
        }
        if mode & OTHERS_WRITE != 0 {
            return exposed(How::Everybody);
        }
        if mode & GROUP_WRITES != 0 {
            // With an access control list the bits of the group are the most that anybody named in the list
            // may do.
            if has_access_list(place) {
                return exposed(How::AccessList);
            }
            if self.group != Some(metadata.gid()) {
                return exposed(How::Group(metadata.gid()));
            }
        }
        owner
    }
}

/// Keeps that something belongs to another user, which may be outweighed; anything else is an error at once.
fn worse(checked: Result<(), Exposed>, foreign: &mut Option<Exposed>) -> Result<(), Exposed> {
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

/// The names along a path.
fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

impl Exposed {
    /// Whether the only objection is that it belongs to another user.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.how, How::Owner(_))
    }

    /// What was found, in words.
    pub(crate) fn found(&self) -> String {
        let place = self.place.display();
        match &self.how {
            How::Everybody => format!("everybody may write {place}"),
            How::Group(group) => format!("the members of group {group} may write {place}"),
            How::AccessList => format!("an access control list lets others write {place}"),
            How::Owner(user) => format!("{place} belongs to another user (id {user})"),
            How::Unknown(error) => format!("who may write {place} cannot be found out: {error}"),
        }
    }

    /// What to do about a plugin's file: of a file of another user the bytes can be decided on.
    pub(crate) fn remedy(&self, file: &Path) -> String {
        if self.is_foreign() {
            return format!(
                "if you know what it is, pin these bytes: `kasmina plugins lock {}`; or copy the file to a folder of your own",
                quoted(file)
            );
        }
        self.remedy_of_own_file()
    }

    /// What to do about a file that must be the user's own.
    pub(crate) fn remedy_of_own_file(&self) -> String {
        let place = quoted(&self.place);
        match &self.how {
            How::Everybody => format!("close it: chmod o-w {place}"),
            How::Group(_) => format!("close it: chmod g-w {place}"),
            How::AccessList => format!("remove the list: setfacl -b {place}"),
            How::Owner(_) => format!("make {place} your own, or remove it"),
            How::Unknown(_) => "check the path and that you may read it".to_owned(),
        }
    }

    /// The refusal of a file for this reason.
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

    /// `folder/inner/file`, all of them the user's own.
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
    fn the_group_that_only_the_user_is_in_may_write() {
        let (_folder, inner, file) = tree();
        let group = std::fs::metadata(&file).unwrap().gid();
        let private = Owners { group: Some(group), ..Owners::user() };
        chmod(&inner, 0o775);
        chmod(&file, 0o664);
        assert_eq!(private.check(&file), Ok(()));
    }

    #[test]
    fn another_owner_is_told_apart() {
        let (_folder, _inner, file) = tree();
        let stranger = Owners { users: vec![ROOT.wrapping_sub(2)], group: None };
        assert!(stranger.check(&file).unwrap_err().is_foreign());
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert!(Owners::user().check(&a).unwrap_err().found().contains("symbolic links"));
    }
}
