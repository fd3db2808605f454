//! JUnit's XML, which every build server shows as a list of tests.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Case, Outcome, Suite};

/// The report of one run.
pub(crate) fn report(name: &str, suites: &[Suite]) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new(name);
    for suite in suites {
        let mut written = TestSuite::new(suite.name.as_str());
        written.add_test_cases(suite.cases.iter().map(|case| test_case(suite, case)));
        report.add_test_suite(written);
    }
    report.to_string()
}

fn test_case(suite: &Suite, case: &Case) -> TestCase {
    let status = match &case.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed { message, detail } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(message.as_str()).set_description(detail.as_str());
            status
        }
        Outcome::Skipped { message } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message.as_str());
            status
        }
    };
    let mut written = TestCase::new(case.name.as_str(), status);
    written.set_classname(suite.name.as_str());
    // Not in the first JUnit's form, but GitLab and others lead to the place by these two.
    written.extra.insert("file".into(), case.file.path().display().to_string().into());
    written.extra.insert("line".into(), case.line.to_string().into());
    written
}
