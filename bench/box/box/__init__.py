# SPDX-License-Identifier: BSD-3-Clause
"""The whole appliance under load: real programs, memif ports, generators on another processor."""
