// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

const loopback = "127.0.0.1"

// bootQueries are run by the local session. The last one keeps the process alive until standard input
// ends. usersXML allows as many and no more.
func bootQueries(cfg Config) []string {
	var queries []string
	if cfg.Database != "" {
		queries = append(queries, "CREATE DATABASE IF NOT EXISTS "+cfg.Database)
	}
	return append(queries, "SYSTEM START LISTEN TCP", "SYSTEM START LISTEN HTTP", "SELECT count() FROM file('-', LineAsString)")
}

// layout is where everything lies in the data folder. All paths are absolute.
type layout struct {
	root, data, config, users, record, collectorLock, engineLock string
}

func newLayout(path string) (layout, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return layout{}, err
	}
	in := func(name string) string { return filepath.Join(root, name) }
	return layout{
		root: root, data: in("data"), config: in("config.xml"), users: in("users.xml"),
		record: in("engine.json"), collectorLock: in("collector.lock"), engineLock: in("engine.lock"),
	}, nil
}

// configXML: a small server beside others. The pools are already small in `clickhouse local` (two threads
// for merges), and it has no system log tables unless they are configured, so that nothing grows on its own.
// The HTTP port serves queries and /ping, not the web pages that a server offers to everybody.
var configXML = template.Must(template.New("config").Funcs(escaping).Parse(`<clickhouse>
  <!-- Written at every start. -->
  <logger><level>warning</level><console>1</console><formatting><type>json</type></formatting></logger>
  <users_config>{{xml .Users}}</users_config>
  <user_files_path>{{xml .UserFiles}}</user_files_path>
  <default_session_user></default_session_user>
  <http_handlers>
    <rule><url>/ping</url><methods>GET,HEAD</methods><handler><type>ping</type></handler></rule>
    <rule><url>/</url><methods>GET,HEAD,POST</methods><handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler></rule>
  </http_handlers>
  <max_server_memory_usage>{{.Memory}}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <index_mark_cache_size>33554432</index_mark_cache_size>
  <primary_index_cache_size>67108864</primary_index_cache_size>
  <max_concurrent_queries>200</max_concurrent_queries>
  <max_thread_pool_size>1000</max_thread_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <merge_tree>
    <non_replicated_deduplication_window>10000</non_replicated_deduplication_window>
  </merge_tree>
</clickhouse>
`))

// usersXML has two users. Ours owns everything. `default` is the local session that opens the ports; no
// password can be put on it, since the session itself does not know one. It is closed to everybody else by
// one fact: it may have one session, and the local session, which begins before the ports open and lasts as
// long as the process, is that one. Should this ever fail to hold, it has used up its queries, and has no
// right but those that the boot queries need.
var usersXML = template.Must(template.New("users").Funcs(escaping).Parse(`<clickhouse>
  <!-- Written at every start. -->
  <profiles>
    <default>
      <!-- Idle connections notice a shut-down after this many seconds, not after ten. -->
      <poll_interval>1</poll_interval>
    </default>
    <boot>
      <max_sessions_for_user>1</max_sessions_for_user>
      <allow_introspection_functions>0</allow_introspection_functions>
      <max_memory_usage>100000000</max_memory_usage>
      <constraints>
        <max_sessions_for_user><const/></max_sessions_for_user>
        <allow_introspection_functions><const/></allow_introspection_functions>
        <max_memory_usage><const/></max_memory_usage>
      </constraints>
    </boot>
  </profiles>
  <quotas>
    <default/>
    <boot><interval><duration>2147483647</duration><queries>{{.BootQueries}}</queries></interval></boot>
  </quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>boot</profile><quota>boot</quota>
      <grants>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
        {{if .Database}}<query>GRANT CREATE DATABASE ON {{.Database}}.*</query>{{end}}
        <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>
        <query>GRANT READ ON FILE</query>
      </grants>
    </default>
    <{{.Username}}>
      <password_sha256_hex>{{.PasswordHash}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
    </{{.Username}}>
  </users>
</clickhouse>
`))

var escaping = template.FuncMap{"xml": func(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}}

// writeConfig renders both files for a start.
func writeConfig(l layout, cfg Config) error {
	hash := sha256.Sum256([]byte(cfg.Password))
	values := map[string]any{
		"Users": l.users, "UserFiles": filepath.Join(l.data, "user_files") + "/", "Memory": cfg.MaxServerMemoryUsage,
		"Database": cfg.Database, "Username": cfg.Username, "PasswordHash": hex.EncodeToString(hash[:]),
		"BootQueries": len(bootQueries(cfg)),
	}
	for path, t := range map[string]*template.Template{l.config: configXML, l.users: usersXML} {
		var text strings.Builder
		if err := t.Execute(&text, values); err != nil {
			return err
		}
		if err := writePrivate(path, []byte(text.String())); err != nil {
			return err
		}
	}
	return nil
}

// writePrivate replaces a file at once, with mode 0600 also when it existed with another.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
