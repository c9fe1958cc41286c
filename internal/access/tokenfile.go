// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

const maxTokenFile = 16 << 20

// TokenFile is the file that API tokens are kept in: mode 0600, replaced as a whole. Any number of processes may read and change it at
// the same time, on systems that have flock; elsewhere only one at a time may change it.
type TokenFile struct {
	path string
	now  func() time.Time
}

// NewTokenFile names a file; it and its folder need not exist.
func NewTokenFile(path string) *TokenFile { return &TokenFile{path: path, now: time.Now} }

// Path is where the file lies.
func (f *TokenFile) Path() string { return f.path }

// Load reads the tokens for looking them up; a file that is not there has none.
func (f *TokenFile) Load() (*Tokens, error) {
	all, err := f.List()
	if err != nil {
		return nil, err
	}
	return indexTokens(all), nil
}

// List reads the tokens in the order of their creation, expired ones too.
func (f *TokenFile) List() ([]Token, error) {
	content, err := readPrivate(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := parseTokens(content)
	if err != nil {
		return nil, fmt.Errorf("%s is no file of API tokens: %w", f.path, err)
	}
	return all, nil
}

// readPrivate refuses a file that others may read or write: who can write it, can let himself in.
func readPrivate(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has the mode %04o, so that others have access to it: chmod 600 %s", path, mode, path)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
	if err == nil && len(content) > maxTokenFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxTokenFile)
	}
	return content, err
}

// Create adds a token, and returns it with its secret, which is nowhere else. A zero expires never comes.
func (f *TokenFile) Create(name, role string, projects []Pattern, expires time.Time) (Token, string, error) {
	now := f.now()
	token, secret := newToken(name, role, projects, now, expires)
	if err := token.validate(); err != nil {
		return Token{}, "", err
	}
	if token.Expired(now) {
		return Token{}, "", fmt.Errorf("expires: %s is over", expires.Format(time.RFC3339))
	}
	err := f.change(func(all []Token) ([]Token, error) {
		if slices.ContainsFunc(all, func(t Token) bool { return t.Name == name }) {
			return nil, fmt.Errorf("name: there is a token %q already; revoke it first, or choose another name", name)
		}
		if len(all) >= maxTokens {
			return nil, fmt.Errorf("there are %d tokens already; revoke some", maxTokens)
		}
		return append(all, token), nil
	})
	if err != nil {
		return Token{}, "", err
	}
	return token, secret, nil
}

// Revoke removes a token by its id or name, and returns it.
func (f *TokenFile) Revoke(idOrName string) (Token, error) {
	var revoked Token
	err := f.change(func(all []Token) ([]Token, error) {
		// An id first: a name may be chosen to look like one.
		i := slices.IndexFunc(all, func(t Token) bool { return t.ID == idOrName })
		if i < 0 {
			i = slices.IndexFunc(all, func(t Token) bool { return t.Name == idOrName })
		}
		if i < 0 {
			return nil, fmt.Errorf("there is no token with the id or name %q in %s", idOrName, f.path)
		}
		revoked = all[i]
		return slices.Delete(all, i, i+1), nil
	})
	return revoked, err
}

// change reads, changes and replaces the file under a lock beside it.
func (f *TokenFile) change(how func([]Token) ([]Token, error)) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o750); err != nil {
		return err
	}
	unlock, err := lockFile(f.path + ".lock")
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.path, err)
	}
	defer unlock()
	all, err := f.List()
	if err != nil {
		return err
	}
	if all, err = how(all); err != nil {
		return err
	}
	content, err := json.MarshalIndent(tokenFile{Version: 1, Tokens: all}, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(f.path, append(content, '\n'))
}

// replaceFile writes a file of mode 0600 so that a reader, and a crash, see the old one or the new one.
func replaceFile(path string, content []byte) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), path); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return nil // has no way to sync a folder
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
