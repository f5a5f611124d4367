//! Certificates of an authority of the test's own, made by openssl.

use std::path::Path;
use std::process::Command;

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl").current_dir(dir).args(args).output();
    let output = output.expect("openssl is missing: install Debian's package openssl");
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority `NAME-ca.pem`, and of it a certificate with its key for a server on the loopback and one for a client.
pub fn authority(dir: &Path, name: &str) {
    let ca = |what: &str| format!("{name}-ca.{what}");
    let subject = format!("/CN={name} authority");
    let new_key = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"];
    openssl(
        dir,
        &[
            &new_key[..],
            &["-x509", "-days", "2", "-subj", &subject, "-keyout", &ca("key"), "-out", &ca("pem")],
        ]
        .concat(),
    );
    for (who, extension) in
        [("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")]
    {
        let own = |what: &str| format!("{name}-{who}.{what}");
        openssl(
            dir,
            &[&new_key[..], &["-subj", &format!("/CN={who}"), "-keyout", &own("key"), "-out", &own("csr")]]
                .concat(),
        );
        std::fs::write(dir.join(own("ext")), extension).unwrap();
        let sign = [
            "x509",
            "-req",
            "-sha256",
            "-days",
            "2",
            "-CAcreateserial",
            "-CA",
            &ca("pem"),
            "-CAkey",
            &ca("key"),
        ];
        openssl(
            dir,
            &[&sign[..], &["-in", &own("csr"), "-extfile", &own("ext"), "-out", &own("pem")]].concat(),
        );
    }
}
