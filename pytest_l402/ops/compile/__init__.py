"""What paywalls compile to: an `aperture.yaml`, or the reasons why there is none."""
