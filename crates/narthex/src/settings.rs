//! The configuration file: read, checked as a whole, and only then given to anyone.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use narthex_config::{Config, Rules};
use narthex_discovery::glob;

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
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The typed form.
    pub config: Config,
    /// Rules that the rule files hold; they were checked and are not evaluated.
    pub rules: usize,
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
        let name = path.to_string_lossy();
        let base = path.parent().unwrap_or(Path::new(""));
        let config = Config::parse(&read(path)?, &name);
        let mut config = config.map_err(|e| format!("parsing YAML file {name}: {e}"))?;
        for pattern in config.scrape_config_files.clone() {
            for file in files(base, &pattern)? {
                let included = config.include(&read(&file)?, &file.to_string_lossy());
                included.map_err(|e| format!("parsing YAML file {}: {e}", file.display()))?;
            }
        }
        let mut rules = 0;
        for pattern in &config.rule_files {
            for file in files(base, pattern)? {
                rules += check_rules(&file)?;
            }
        }
        Ok(Self { config, rules })
    }

    /// The built-in configuration.
    ///
    /// # Errors
    /// None, unless the program is wrong.
    pub fn builtin(own: SocketAddr, route_prefix: &str, node: bool) -> Result<Self, String> {
        let text = builtin::yaml(own, route_prefix, node);
        let config = Config::parse(&text, "built-in configuration").map_err(|e| e.to_string())?;
        Ok(Self { config, rules: 0 })
    }
}

/// The files that a pattern of the configuration names; none is no error, as in Prometheus: they
/// may come later.
fn files(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let files = glob::files(&glob::join(base, pattern)).map_err(|e| format!("{pattern}: {e}"))?;
    if files.is_empty() {
        tracing::warn!(pattern, "No file matches");
    }
    Ok(files)
}

/// Checks a rule file, its expressions included, and counts its rules.
fn check_rules(path: &Path) -> Result<usize, String> {
    let name = path.to_string_lossy();
    let rules = Rules::parse(&read(path)?, &name).map_err(|e| e.to_string())?;
    let mut count = 0;
    for group in &rules.groups {
        for (index, rule) in group.rules.iter().enumerate() {
            count += 1;
            let Err(error) = narthex_promql::parse(&rule.expr.text) else { continue };
            let (line, column) = (rule.expr.line, rule.expr.column);
            let rule_name = if rule.record.is_empty() { &rule.alert } else { &rule.record };
            return Err(format!(
                "{name}: {line}:{column}: group \"{}\", rule {}, \"{rule_name}\": could not \
                 parse expression: {error}",
                group.name,
                index + 1,
            ));
        }
    }
    Ok(count)
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
