//! Finds the user's primary group if it has no other member.

use kasmina_files::{limit, read_text};
use std::path::Path;
use std::sync::OnceLock;

/// Returns the primary group of a user if nobody else is a member of it. Many systems give each user a
/// private group, and let the group write by default (umask 002).
///
/// The result for the first user is cached, because every file of a folder needs it.
pub(crate) fn private_group(user: u32) -> Option<u32> {
    static FOUND: OnceLock<(u32, Option<u32>)> = OnceLock::new();
    match FOUND.get_or_init(|| (user, look_up(user))) {
        (of, group) if *of == user => *group,
        // The process has changed its user since the first call.
        _ => look_up(user),
    }
}

fn look_up(user: u32) -> Option<u32> {
    let read = |path: &str| read_text(Path::new(path), limit::CONFIG).ok();
    find(user, &read("/etc/passwd")?, &read("/etc/group")?)
}

fn find(user: u32, passwd: &str, group: &str) -> Option<u32> {
    let users: Vec<(&str, u32, u32)> = passwd.lines().filter_map(user_of).collect();
    let (name, _, primary) = *users.iter().find(|(_, id, _)| *id == user)?;
    let shared = users.iter().any(|(_, id, group)| *group == primary && *id != user);
    let mut listed = group.lines().filter_map(members_of).filter(|(id, _)| *id == primary).peekable();
    listed.peek()?;
    let others = listed.any(|(_, members)| members.split(',').any(|m| !m.is_empty() && m != name));
    (!shared && !others).then_some(primary)
}

/// Parses name, id and primary group from a line of `/etc/passwd`.
fn user_of(line: &str) -> Option<(&str, u32, u32)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let id = fields.nth(1)?.parse().ok()?;
    Some((name, id, fields.next()?.parse().ok()?))
}

/// Parses id and members from a line of `/etc/group`.
fn members_of(line: &str) -> Option<(u32, &str)> {
    let mut fields = line.split(':');
    Some((fields.nth(2)?.parse().ok()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::find;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:50::/home/bob:/bin/sh\n\
                          eve:x:1002:50::/home/eve:/bin/sh\n";

    #[test]
    fn a_group_is_private_only_if_nobody_else_is_in_it() {
        let alone = "root:x:0:\nann:x:1000:\nstaff:x:50:\n";
        assert_eq!(find(1000, PASSWD, alone), Some(1000));
        assert_eq!(find(1000, PASSWD, "ann:x:1000:ann\n"), Some(1000));
        assert_eq!(find(1000, PASSWD, "ann:x:1000:ann,eve\n"), None, "a member by the list");
        assert_eq!(find(1001, PASSWD, alone), None, "the primary group of another user");
        assert_eq!(find(4711, PASSWD, alone), None, "a user who is not listed");
        assert_eq!(find(1000, PASSWD, "broken\n"), None, "a group that is not listed");
    }
}
