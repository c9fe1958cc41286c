// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Command is how an embedded ClickHouse is started by tests and benchmarks: with settings of their own and without the product's
// supervision, so that it can be killed. The process runs until its standard input ends.
type Command struct {
	Build             string // the folder of tailrace-clickhouse and libchdb.so
	Dir               string // data and configuration
	User, Password    string // has all rights
	Profile           string // XML, settings of every query
	Config            string // XML, settings of the server
	LogLevel          string // "error" when empty
	Host              string // 127.0.0.1 when empty
	TCPPort, HTTPPort int    // HTTPPort is 0 for none
}

// usersXML: the statement that keeps the server running is the default user's, who may do nothing else.
const usersXML = `<clickhouse>
<profiles><default>%s</default></profiles><quotas><default/></quotas>
<users>
<default><password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
<grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT CREATE TEMPORARY TABLE ON *.*</query><query>GRANT READ ON FILE</query></grants></default>
<%[2]s><password>%[3]s</password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota><access_management>1</access_management></%[2]s>
</users></clickhouse>`

// Prepare writes the configuration and returns what is to be started; its standard streams are the caller's.
func (c Command) Prepare() (*exec.Cmd, error) {
	users, config := filepath.Join(c.Dir, "users.xml"), filepath.Join(c.Dir, "config.xml")
	err := errors.Join(
		os.MkdirAll(c.Dir, 0o700),
		os.WriteFile(users, fmt.Appendf(nil, usersXML, c.Profile, c.User, c.Password), 0o600),
		os.WriteFile(config, fmt.Appendf(nil, "<clickhouse><logger><console>1</console></logger>\n<users_config>%s</users_config>%s</clickhouse>", users, c.Config), 0o600),
	)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(c.Build, "tailrace-clickhouse"),
		"--config-file="+config, "--path="+filepath.Join(c.Dir, "data"), "--log-level="+cmp.Or(c.LogLevel, "error"), "--listen_host="+cmp.Or(c.Host, "127.0.0.1"),
		"--tcp_port="+strconv.Itoa(c.TCPPort))
	listen := "SYSTEM START LISTEN TCP; "
	if c.HTTPPort != 0 {
		cmd.Args = append(cmd.Args, "--http_port="+strconv.Itoa(c.HTTPPort))
		listen += "SYSTEM START LISTEN HTTP; "
	}
	cmd.Args = append(cmd.Args, "--query", listen+"SELECT count() FROM file('-', LineAsString)")
	cmd.Dir = c.Dir
	return cmd, nil
}
