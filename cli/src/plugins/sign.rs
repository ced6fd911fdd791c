//! `kasmina plugins keygen` and `sign`. Keys and signatures have the formats of minisign.

use crate::failure::Failure;
use kasmina_files::{limit, read_text};
use kasmina_registry::Manifest;
use kasmina_registry::keys::{comment, signature_path};
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};
use std::fs::OpenOptions;
use std::io::{Cursor, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Environment variable with the password of the secret key.
const PASSWORD: &str = "KASMINA_KEY_PASSWORD";

fn password() -> Option<String> {
    std::env::var(PASSWORD).ok()
}

pub(crate) fn keygen(name: &Path, no_password: bool) -> Result<(), Failure> {
    let beside = |end: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(end);
        std::path::PathBuf::from(path)
    };
    let (secret, public) = (beside(".key"), beside(".pub"));
    for path in [&secret, &public] {
        if path.exists() {
            let text = format!("{} already exists", path.display());
            return Err(
                Failure::new(text).with_help("choose another name; an overwritten key cannot be restored")
            );
        }
    }
    let pair = if no_password {
        KeyPair::generate_unencrypted_keypair()
    } else {
        KeyPair::generate_encrypted_keypair(password())
    };
    let KeyPair { pk, sk } = pair.map_err(Failure::new)?;
    let write = |path: &Path, text: &str, mode: u32| {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))
    };
    write(&secret, &sk.to_box(None).map_err(Failure::new)?.to_string(), 0o600)?;
    write(&public, &pk.to_box().map_err(Failure::new)?.to_string(), 0o644)?;
    outln!("secret key  {} (keep it secret)", secret.display());
    outln!("public key  {} ({})", public.display(), pk.to_base64());
    Ok(())
}

pub(crate) fn sign(file: &Path, key: &Path) -> Result<(), Failure> {
    let manifest = Manifest::read(file).map_err(kasmina_registry::RegistryError::from)?;
    let unreadable = |e: &dyn std::fmt::Display| {
        Failure::new(format!("cannot use the secret key {}: {e}", key.display()))
            .with_help(format!("`kasmina plugins keygen` creates one; {PASSWORD} can contain its password"))
    };
    let text = read_text(key, limit::KEY).map_err(|e| unreadable(&e))?;
    let boxed = SecretKeyBox::from_string(&text).map_err(|e| unreadable(&e))?;
    let secret: SecretKey =
        match SecretKeyBox::from_string(&text).map_err(|e| unreadable(&e))?.into_unencrypted_secret_key() {
            Ok(secret) => secret,
            Err(_) => boxed.into_secret_key(password()).map_err(|e| unreadable(&e))?,
        };
    let public = PublicKey::from_secret_key(&secret).map_err(|e| unreadable(&e))?;
    let comment = comment(&manifest);
    let data = Cursor::new(manifest.signed_bytes());
    let signature =
        minisign::sign(Some(&public), &secret, data, Some(&comment), Some("signature of a Kasmina plugin"))
            .map_err(Failure::new)?;
    let path = signature_path(file);
    std::fs::write(&path, signature.to_string())
        .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?;
    outln!("wrote {}: {comment}", path.display());
    outln!("signed by {}", public.to_base64());
    Ok(())
}
