//! Keys that are trusted to sign plugins, and verification of signatures.
//!
//! Signatures are in minisign's format, in the file `FILE.minisig` beside the plugin's file. The trusted
//! comment, which is signed too, contains plugin, version and target, so that a signature cannot be used for
//! another plugin. A signature says who trusts a file; it does not make native code safe.

use crate::error::{Refusal, RegistryError, Rule};
use crate::manifest::Manifest;
use crate::ownership::{Exposed, Owners};
use crate::places;
use kasmina_files::{limit, read_text};
use minisign_verify::{Error as Minisign, PublicKey, Signature};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A public key whose signatures are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKey {
    /// Name that the user chose when adding the key.
    pub name: String,
    /// The public key in base64, as minisign writes it in one line.
    pub key: String,
}

/// A folder of trusted keys, with one file for each key.
#[derive(Debug, Clone)]
pub struct Keys(PathBuf);

/// Result of verifying a file's signature.
pub(crate) enum Signed {
    /// The file has no signature.
    No,
    /// The file is signed by a key that is not trusted.
    Unknown,
    /// The file is signed by this trusted key.
    By(TrustedKey),
}

impl Keys {
    /// Returns the keys in a folder, which need not exist.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// Returns the user's folder of keys; `None` if the user has no configuration folder.
    pub fn of_user() -> Option<Self> {
        places::keys().map(Self)
    }

    /// Returns all keys, sorted by name.
    ///
    /// # Errors
    /// If a key cannot be read, or other users can write the folder or a key. An unreadable key is not
    /// skipped, because its signatures would then silently lose their effect.
    pub fn list(&self) -> Result<Vec<TrustedKey>, RegistryError> {
        let folder = match std::fs::read_dir(&self.0) {
            Ok(folder) => folder,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(error(&self.0, e)),
        };
        // A user who can add a key decides which signatures are trusted.
        let owners = Owners::user();
        owners.check_folder(&self.0).map_err(|exposed| others_can_write(&self.0, &exposed))?;
        let mut keys = Vec::new();
        for path in folder.filter_map(Result::ok).map(|e| e.path()) {
            let (Some(name), Some("pub")) =
                (path.file_stem().and_then(|s| s.to_str()), path.extension().and_then(|e| e.to_str()))
            else {
                continue;
            };
            owners.check(&path).map_err(|exposed| others_can_write(&path, &exposed))?;
            let text = read_text(&path, limit::KEY).map_err(|e| error(&path, &e))?;
            let key = decode(&text).map_err(|e| error(&path, e))?.1;
            keys.push(TrustedKey { name: name.to_owned(), key });
        }
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    /// Adds a trusted key. `text` is the content of a `.pub` file, or the key in one line.
    ///
    /// # Errors
    /// If the text is not a key, the name is not valid or belongs to another key, or the folder cannot be
    /// written.
    pub fn add(&self, name: &str, text: &str) -> Result<TrustedKey, RegistryError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(error(
                &self.0,
                format!("`{name}` is not a valid name of a key; use letters, digits, _, - and ."),
            ));
        }
        let path = self.0.join(format!("{name}.pub"));
        let key = decode(text).map_err(|e| error(Path::new("the key"), e))?.1;
        if let Some(other) = self.list()?.into_iter().find(|k| k.name == name && k.key != key) {
            let text = format!("another key has that name, {}; remove it first", other.key);
            return Err(error(&path, text));
        }
        let text = format!("untrusted comment: trusted as {name}\n{key}\n");
        places::write(&path, &text).map_err(|e| error(&path, e))?;
        Ok(TrustedKey { name: name.to_owned(), key })
    }

    /// Removes a trusted key, and returns it.
    ///
    /// # Errors
    /// If there is no key with that name, or it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<TrustedKey, RegistryError> {
        let path = self.0.join(format!("{name}.pub"));
        let known = self.list()?.into_iter().find(|key| key.name == name);
        let key = known.ok_or_else(|| error(&path, "no trusted key has that name"))?;
        std::fs::remove_file(&path).map_err(|e| error(&path, e))?;
        Ok(key)
    }

    /// Verifies the signature of a file, if it has one.
    pub(crate) fn signed(&self, manifest: &Manifest) -> Result<Signed, Refusal> {
        let path = signature_path(&manifest.path);
        let refuse = |found: String| Refusal {
            path: manifest.path.clone(),
            rule: Rule::Signature,
            found,
            remedy: "get the file and its signature again, or sign the file yourself".to_owned(),
        };
        let text = match read_text(&path, limit::SIGNATURE) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Signed::No),
            Err(error) => return Err(refuse(format!("{} cannot be read: {error}", path.display()))),
        };
        let signature = Signature::decode(&text)
            .map_err(|e| refuse(format!("{} is not a minisign signature ({e})", path.display())))?;
        let keys = self
            .list()
            .map_err(|e| Refusal { remedy: e.help().unwrap_or_default(), ..refuse(e.to_string()) })?;
        for trusted in keys {
            let name = &trusted.name;
            let Ok(key) = PublicKey::from_base64(&trusted.key) else { continue };
            match key.verify(&manifest.signed_bytes(), &signature, false) {
                Ok(()) => {
                    let (signed, expected) = (signature.trusted_comment(), comment(manifest));
                    if signed != expected {
                        return Err(refuse(format!(
                            "its signature by `{name}` is for `{signed}`, the file is `{expected}`"
                        )));
                    }
                    return Ok(Signed::By(trusted));
                }
                Err(Minisign::UnexpectedKeyId) => {}
                Err(error) => {
                    return Err(refuse(format!(
                        "its signature by `{name}` does not match the file ({error})"
                    )));
                }
            }
        }
        Ok(Signed::Unknown)
    }
}

/// Returns the trusted comment that a plugin's signature must have.
pub fn comment(manifest: &Manifest) -> String {
    format!("kasmina {} {} {}", manifest.plugin.name, manifest.plugin.version, manifest.plugin.target)
}

/// Returns the path of a file's signature.
pub fn signature_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".minisig");
    path.into()
}

/// Parses a key from the text of its file or from one line. Returns also the line.
fn decode(text: &str) -> Result<(PublicKey, String), String> {
    let line = text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or_default();
    let key = PublicKey::from_base64(line).map_err(|e| format!("it is not a minisign public key ({e})"))?;
    Ok((key, line.to_owned()))
}

fn error(path: &Path, reason: impl std::fmt::Display) -> RegistryError {
    let help = "`kasmina plugins trust list` shows the keys that are trusted".to_owned();
    RegistryError::Keys { path: path.to_owned(), reason: reason.to_string(), help }
}

/// Returns the error of a key that other users could have written.
fn others_can_write(path: &Path, exposed: &Exposed) -> RegistryError {
    RegistryError::Keys { path: path.to_owned(), reason: exposed.found(), help: exposed.remedy_of_own_file() }
}
