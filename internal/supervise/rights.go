// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

// Rights are what a child may do, where that differs from what we may. Zero values change nothing.
type Rights struct {
	// User and Group are names or numbers. The group of a user alone is that of the user, with the other groups
	// that it is in. Both need root or its capabilities.
	User, Group string
	// Umask and OpenFiles need Linux. The number of open files is the soft and the hard limit.
	Umask     *int
	OpenFiles uint64
	// Memory bounds what the whole tree has in memory, in bytes; at the limit the kernel kills. It needs Linux and a control group: Cgroup is the
	// folder of the one below which ours are made, empty where that is to be found.
	Memory uint64
	Cgroup string
}
