// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// account is whom a child runs as.
type account struct {
	credential *syscall.Credential // nil: as we do
	variables  []Variable          // of its environment
}

// account looks the user and the group up. They may be created after us, so each start does so.
func (r Rights) account() (account, error) {
	if r.User == "" && r.Group == "" {
		return account{}, nil
	}
	// Without root we may keep only what we have.
	a := account{credential: &syscall.Credential{
		Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid()), NoSetGroups: os.Geteuid() != 0,
	}}
	if r.User != "" {
		if err := a.user(r.User, r.Group != ""); err != nil {
			return account{}, fmt.Errorf("user: %w", err)
		}
	}
	if r.Group != "" {
		gid, err := number(r.Group)
		if err != nil {
			group, err := user.LookupGroup(r.Group)
			if err != nil {
				return account{}, fmt.Errorf("group: %w", err)
			}
			if gid, err = number(group.Gid); err != nil {
				return account{}, fmt.Errorf("group: %w", err)
			}
		}
		a.credential.Gid = gid
	}
	return a, nil
}

func (a *account) user(name string, grouped bool) error {
	found, err := user.Lookup(name)
	if err != nil {
		uid, notNumber := number(name)
		if notNumber != nil {
			return err
		}
		if found, err = user.LookupId(name); err != nil {
			// A number needs no entry, but then nothing is known of its group.
			if !grouped {
				return fmt.Errorf("%s has no entry, so that `group` is needed, too", name)
			}
			a.credential.Uid = uid
			return nil
		}
	}
	uid, err := number(found.Uid)
	if err != nil {
		return err
	}
	gid, err := number(found.Gid)
	if err != nil {
		return err
	}
	a.credential.Uid, a.credential.Gid = uid, gid
	ids, err := found.GroupIds()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if gid, err = number(id); err != nil {
			return err
		}
		a.credential.Groups = append(a.credential.Groups, gid)
	}
	a.variables = []Variable{{"HOME", found.HomeDir}, {"LOGNAME", found.Username}, {"USER", found.Username}}
	return nil
}

func number(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	return uint32(n), err
}

// explain says what a failed start most probably means.
func (a account) explain(err error) error {
	if a.credential != nil && errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%w: only root may start a server as another user or group", err)
	}
	return err
}
