"""Fetch Delta's JARs once, by Spark's own Ivy client, into a folder of ours.

Usage: python infra/local/fetch_jars.py WORK_FOLDER [CERTIFICATES]
The JARs end up in WORK_FOLDER/jars; set-up checks their digests before anything uses them.
CERTIFICATES (PEM) are the authorities that this machine trusts: a Java from PyPI knows only its own list,
which is not enough where a company's proxy signs.
"""

from __future__ import annotations

import sys
from pathlib import Path


def trust_store(certificates: Path, folder: Path) -> Path:
    """Write the PEM authorities of `certificates` as a Java trust store (password `changeit`, Java's default)."""
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
    from cryptography.x509 import load_pem_x509_certificates

    authorities = load_pem_x509_certificates(certificates.read_bytes())
    named = [pkcs12.PKCS12Certificate(one, f"authority-{i}".encode()) for i, one in enumerate(authorities)]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "authorities.p12"
    path.write_bytes(pkcs12.serialize_java_truststore(named, BestAvailableEncryption(b"changeit")))
    return path


def fetch(work: Path, certificates: Path | None = None) -> Path:
    """Start one Spark session that resolves Delta into `work`; return the folder that holds the JARs."""
    from delta import configure_spark_with_delta_pip
    from pyspark.sql import SparkSession

    builder = (
        SparkSession.builder.master("local[1]")
        .appName("adlens-set-up")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.jars.ivy", str(work))
    )
    if certificates is not None:
        options = (
            f'"-Djavax.net.ssl.trustStore={trust_store(certificates, work)}"'
            " -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit"
        )
        builder = builder.config("spark.driver.extraJavaOptions", options)
    configure_spark_with_delta_pip(builder).getOrCreate().stop()
    return work / "jars"


if __name__ == "__main__":
    folders = [Path(argument).resolve() for argument in sys.argv[1:]]
    print(fetch(*folders))
