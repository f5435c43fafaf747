"""Certificates made for a test, by the openssl program."""
import subprocess


class Authority:
    """Makes certificates in a folder; every path is a PEM file."""

    def __init__(self, folder, name="authority"):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                  "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate)

    def _run(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, cwd=self.folder, capture_output=True)

    def make(self, name, alt="IP:127.0.0.1", expired=False):
        """(certificate, key) for the alternative name; an expired one ended yesterday."""
        key, request, out = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alt}\n")
        self._run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                  "-keyout", key, "-out", request)
        # A certificate that ends before it begins has ended, whatever the time is.
        days = ("-days", "-1") if expired else ("-days", "2")
        self._run("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                  *days, "-extfile", extensions, "-out", out)
        return out, key
