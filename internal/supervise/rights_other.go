// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package supervise

import (
	"errors"
	"syscall"
)

type account struct{ variables []Variable }

func (r Rights) account() (account, error) {
	if r.User != "" || r.Group != "" {
		return account{}, errors.New("user, group: are known on Unix only")
	}
	return account{}, nil
}

func (account) attributes() *syscall.SysProcAttr { return childAttributes() }

func (account) explain(err error) error { return err }
