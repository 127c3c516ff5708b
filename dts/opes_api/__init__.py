# SPDX-License-Identifier: BSD-3-Clause
"""What the suites of this product share: the lab, its processes, independent peers and oracles."""
