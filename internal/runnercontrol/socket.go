// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnercontrol

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// maxSocketPath is what the address of a Unix socket can hold, on Linux 108 bytes with the NUL at its end and on
	// macOS 104, less what is appended while the socket is made.
	maxSocketPath = 95
	madeSuffix    = ".new"
	socketMode    = 0o600
	dialTimeout   = 5 * time.Second
)

// ValidateSocket says why a path can't be that of a socket.
func ValidateSocket(path string) error {
	switch {
	case path == "":
		return errors.New("must be the path of a Unix socket, such as /run/tailrace/control.sock")
	case strings.ContainsRune(path, 0):
		return errors.New("must not contain a NUL byte")
	case len(path) > maxSocketPath:
		return fmt.Errorf("must have at most %d bytes, not %d: the address of a Unix socket holds no more", maxSocketPath, len(path))
	}
	return nil
}

// Listen makes the socket, for its owner only. What a listener left there that is gone is replaced; while somebody
// listens, and when anybody but the owner and root could replace the socket, it is an error.
func Listen(path string) (net.Listener, error) {
	if err := ValidateSocket(path); err != nil {
		return nil, err
	}
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&os.ModeSocket == 0:
		return nil, fmt.Errorf("%s exists and is not a socket; remove it or choose another path", path)
	default:
		if conn, err := net.DialTimeout("unix", path, dialTimeout); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("somebody listens on %s already: another collector, perhaps; each needs a path of its own", path)
		}
	}
	// Made under another name, so that the socket never stands there with a mode that lets others in.
	made := path + madeSuffix
	if err := os.Remove(made); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", made)
	if err != nil {
		return nil, err
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, socketMode), os.Rename(made, path)); err != nil {
		return nil, errors.Join(err, listener.Close(), os.Remove(made))
	}
	own, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &socket{Listener: listener, path: path, own: own}, nil
}

// socket removes its file when it is closed, unless it is another one's by then.
type socket struct {
	net.Listener
	path string
	own  os.FileInfo
}

func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.own) {
		_ = os.Remove(s.path)
	}
	return s.Listener.Close()
}

type peerKey struct{}

// NewServer serves the API of runner to processes of the user of this process and of root, where the system tells who asks
// (Linux); elsewhere the mode of the socket has to do.
func NewServer(runner Runner) *http.Server {
	return &http.Server{
		Handler:           NewHandler(runner, allowed),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			uid, err := peer(conn)
			return context.WithValue(ctx, peerKey{}, peerOf{uid: uid, err: err})
		},
	}
}

type peerOf struct {
	uid int
	err error
}

func allowed(ctx context.Context) error {
	peer, _ := ctx.Value(peerKey{}).(peerOf)
	return mayControl(peer, os.Geteuid())
}

func mayControl(peer peerOf, own int) error {
	switch {
	case errors.Is(peer.err, errors.ErrUnsupported):
		return nil
	case peer.err != nil:
		return NewProblem(CodeForbidden, "it could not be found out who asks: %v", peer.err)
	case peer.uid != own && peer.uid != 0:
		return NewProblem(CodeForbidden, "only the user %d of the collector and root may control its servers, not %d", own, peer.uid)
	}
	return nil
}
