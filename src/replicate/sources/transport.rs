//! The connection to the database's server: TCP or a socket in the file system, with a bound on what it may send.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::Host;

/// Bytes that a server may send: a thousand rows of the longest names and addresses have 2.3 MB. More is held by nobody.
const BYTES: usize = 8 << 20;

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Both for S {}

/// A connection from which only so much can be read.
pub(super) struct Bounded {
    stream: Box<dyn Both>,
    left: usize,
}

/// Connects.
pub(super) async fn open(host: &Host, port: u16) -> io::Result<Bounded> {
    let stream: Box<dyn Both> = match host {
        Host::Tcp(name) => Box::new(TcpStream::connect((name.as_str(), port)).await?),
        Host::Unix(dir) => Box::new(UnixStream::connect(dir.join(format!(".s.PGSQL.{port}"))).await?),
    };
    Ok(Bounded { stream, left: BYTES })
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(left) = self.left.checked_sub(buf.filled().len().saturating_sub(before)) else {
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::other(format!("it sent more than {BYTES} bytes"))));
        };
        self.left = left;
        polled
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_is_allowed() {
        let mut few = Bounded { stream: Box::new(io::Cursor::new(vec![7_u8; 10])), left: 10 };
        let mut read = Vec::new();
        assert_eq!(few.read_to_end(&mut read).await.unwrap(), 10);
        let mut many = Bounded { stream: Box::new(io::Cursor::new(vec![7_u8; 11])), left: 10 };
        assert!(many.read_to_end(&mut read).await.unwrap_err().to_string().contains("more than"));
    }
}
