//! The only place of this crate that writes files. Files are written completely or not at all.
//!
//! A file is written under another name in the same directory, and is renamed when it is complete. A symbolic link stays a link: the file
//! to which it leads is replaced. The writer refuses a path of something that is not a regular file, and leaves it unchanged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;
use crate::loader::mmap;

/// A file that is being written. Before [`finish`](OutputFile::finish), the former file is unchanged; afterwards, the new file is in its
/// place.
///
/// Dropping the value without [`finish`](OutputFile::finish) removes the written data. The new file has the permissions of the file that it
/// replaces. Other hard links to the former file keep the former content. A program that reads the former file, by a map or an open handle,
/// also keeps the former content. A checkpoint may therefore be replaced by a file that is made from it.
///
/// ```
/// use std::io::Write;
/// use mistral_models::loader::OutputFile;
/// # let path = std::env::temp_dir().join(format!("output-file-{}", std::process::id()));
///
/// let mut file = OutputFile::create(&path)?;
/// file.write_all(b"all or nothing")?;
/// file.finish()?;
/// assert_eq!(std::fs::read(&path)?, b"all or nothing");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OutputFile {
    /// The path of the finished file, after all symbolic links.
    target: PathBuf,
    /// The path of the file until it is finished.
    partial: PathBuf,
    /// `None` once all data is on the disk.
    file: Option<BufWriter<File>>,
    published: bool,
}

/// The most symbolic links in a row: as many as Linux follows.
const LINKS: usize = 40;

impl OutputFile {
    /// Begins a file. The directory must exist.
    ///
    /// # Errors
    /// [`Error::WrongFile`] for a directory, a device, a pipe or a socket at this path or at the end of its links; [`Error::Io`] for a
    /// file that may not be written, a loop of links, and a directory in which no file can be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Error> {
        let target = resolved(path.as_ref())?;
        let permissions = match fs::symlink_metadata(&target) {
            Ok(meta) => {
                mmap::regular(&target, &meta)?;
                if meta.permissions().readonly() {
                    return Err(Error::io(&target, io::ErrorKind::PermissionDenied.into()));
                }
                Some(meta.permissions())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io(&target, error)),
        };
        let (partial, file) = temporary(&target)?;
        let output = Self { target, partial, file: Some(BufWriter::new(file)), published: false };
        if let Some(permissions) = permissions {
            fs::set_permissions(&output.partial, permissions).map_err(|e| Error::io(&output.partial, e))?;
        }
        Ok(output)
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// The errors of [`create`](Self::create).
    pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), Error> {
        let mut file = Self::create(path)?;
        file.write_all(bytes).map_err(|e| Error::io(&file.target, e))?;
        file.finish()
    }

    /// Writes all data to the disk and renames the file to its final name.
    ///
    /// # Errors
    /// [`Error::Io`]; the former file is then unchanged.
    pub fn finish(mut self) -> Result<(), Error> {
        self.complete()?;
        self.publish()
    }

    /// Writes all data to the disk and closes the file, which keeps its temporary name.
    pub(crate) fn complete(&mut self) -> Result<(), Error> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let written = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        written.map_err(|e| Error::io(&self.target, e))
    }

    /// Renames a complete file to its final name.
    pub(crate) fn publish(&mut self) -> Result<(), Error> {
        fs::rename(&self.partial, &self.target).map_err(|e| Error::io(&self.target, e))?;
        self.published = true;
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.published {
            self.file = None; // Windows removes no open file.
            let _ = fs::remove_file(&self.partial); // The error that led here is the one to tell of.
        }
    }
}

/// Returns the path at the end of the symbolic links that begin at `path`; a file need not exist there.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    let mut end = path.to_owned();
    for _ in 0..LINKS {
        match fs::symlink_metadata(&end) {
            Ok(meta) if meta.is_symlink() => {
                let link = fs::read_link(&end).map_err(|e| Error::io(&end, e))?;
                // An absolute path replaces the directory of the link.
                end = end.parent().unwrap_or(Path::new("")).join(link);
            }
            Ok(_) => return Ok(end),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(end),
            Err(error) => return Err(Error::io(&end, error)),
        }
    }
    let detail = format!("more than {LINKS} symbolic links in a row");
    Err(Error::io(path, io::Error::other(detail)))
}

/// Makes a new file next to `target`. The new name is short, because the target's name may already have the greatest length.
fn temporary(target: &Path) -> Result<(PathBuf, File), Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if target.file_name().is_none() {
        let detail = io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in the name of a file");
        return Err(Error::io(target, detail));
    }
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let partial = target.with_file_name(format!(".mistral-{}-{number}.partial", std::process::id()));
        // A file of this name, which a killed process of the same number left, is neither written nor followed.
        match OpenOptions::new().write(true).create_new(true).open(&partial) {
            Ok(file) => return Ok((partial, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let detail = "the directory for the file does not exist; make it first";
                return Err(Error::io(target, io::Error::new(error.kind(), detail)));
            }
            Err(error) => return Err(Error::io(target, error)),
        }
    }
}

#[cfg(test)]
mod tests;
