"""The tree of AdLens's errors. Every one says what is wrong, where, and what would be right.

    AdLensError            exit code 1   something that is ours to explain
    |- InputError                   2   the landing folder cannot be taken as it is
    |- PrerequisiteError            3   something that must be installed or started is missing
    |- QualityStop                  4   the audit refused the day
    |- MissingArtifact              5   an earlier stage's output is not there
    |- SettingsError                6   a setting that cannot be
    |- DamagedArtifact              7   a file that does not match its checksum or its schema
    `- Overtaken                    8   what was decided or served was changed meanwhile: the same once more

A gate that says no is no error: it exits 0.
"""

from __future__ import annotations


class AdLensError(Exception):
    exit_code = 1


class InputError(AdLensError):
    exit_code = 2


class PrerequisiteError(AdLensError):
    exit_code = 3


class QualityStop(AdLensError):
    exit_code = 4


class MissingArtifact(AdLensError):
    exit_code = 5


class SettingsError(AdLensError):
    exit_code = 6


class DamagedArtifact(AdLensError):
    exit_code = 7


class Overtaken(AdLensError):
    exit_code = 8
